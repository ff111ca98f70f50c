"""SZ208."""

from stepzero.core.finding import Finding, Fix, lowered
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure import attention_heads, blocks
from stepzero.measure.words import enumerated


@rule("SZ208", "identical-heads", tier=1, needs=("symmetry",))
def identical_heads(trace: Trace, _: Limits) -> Verdict:
    """Two attention heads are one: all their units are copies of each other.

    What it finds
    -------------
    Heads whose query, key and value rows agree and whose outputs are read alike, so that every unit of one equals the
    unit at the same place of the other, in response and in gradient, for ever.

    Why it matters
    --------------
    Such heads attend alike and learn alike: the model pays for several and has one.

    When it is fine
    ---------------
    Keys and values shared by grouping are one tensor. Heads with equal queries but different output columns separate
    at the first step. Dropout on the attention weights falls on each head by itself and tells them apart in training:
    that lowers this to a warning.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
        with torch.no_grad():
            packed = model.self_attn.in_proj_weight
            for start in (0, 16, 32):
                packed[start + 4 : start + 8] = packed[start : start + 4]
            model.self_attn.out_proj.weight[:, 4:8] = model.self_attn.out_proj.weight[:, :4]
        return model, torch.randn(8, 10, 16), lambda output: (output - 1).pow(3).mean()

    expected = ("self_attn.in_proj_weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
        return model, torch.randn(8, 10, 16), lambda output: (output - 1).pow(3).mean()

    Fix
    ---
    Redraw all but one of the heads by the layer's law.

    References
    ----------
    Section 1.10 of the project's theory notes; fundamentalvision/Deformable-DETR#44 (the sound case).
    """
    for name, found in blocks.by_weight(blocks.of_level(trace, "twins", "lumped")).items():
        groups = attention_heads.head_groups(trace, name, found)
        if not groups:
            continue
        count = attention_heads.head_count(trace, name, found)
        noise = blocks.breaker(trace, name) or attention_heads.breaker(trace, name)
        equal = sum(len(group) - 1 for group in groups)
        listed = enumerated([" = ".join(str(head) for head in group) for group in groups])
        yield Finding(
            code="SZ208",
            name="identical-heads",
            severity=lowered("error") if noise else "error",
            where=(name,),
            message=(
                f"{name} has {count - equal} different heads of {count}: heads {listed} respond alike and get equal "
                "gradients, " + (f"until {noise} separates them" if noise else "and stay copies for ever")
            ),
            value=(count - equal) / count,
            limit=1.0,
            unit="effective heads",
            evidence="wake-up",
            cause="copied-not-redrawn",
            fix=Fix("redraw all but one of the heads", name, "law", is_safe=True),
            citation="project theory notes, 1.10",
        )
