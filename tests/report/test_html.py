"""HTML: one file that needs nothing else, small, with every name escaped."""

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from stepzero.core.suppression import Suppressed
from stepzero.report.html import fragment, render
from tests.report.samples import CONSTANT, LOUD, SAMPLES, blocks, fault, incomplete, row, sound

VOID = {"meta", "br", "hr", "img", "input", "link", "circle", "polyline"}


class Page(HTMLParser):
    """Collects tags and text, and checks that they nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.links = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in ("src", "href", "action", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)


@pytest.mark.parametrize("name", SAMPLES)
def test_it_nests_and_fetches_nothing(name):
    text = render(SAMPLES[name]())
    page = Page(text)
    assert page.links == []
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    assert not re.search(r"https?://|url\(|@import", text)
    assert "default-src 'none'" in text


@pytest.mark.parametrize("name", SAMPLES)
def test_every_root_cause_is_told(name):
    report = SAMPLES[name]()
    told = " ".join(" ".join(Page(render(report)).text).split())
    for finding in report.root_causes:
        assert finding.code in told
        assert finding.where[0] in told
        assert " ".join(finding.message.split()) in told


def test_names_with_markup_stay_text():
    evil = "<img src=x onerror=alert(1)>&\"'"
    wild = replace(
        LOUD, where=(evil,), message=evil, source_line=evil, citation=evil, fix=replace(LOUD.fix, title=evil)
    )
    report = replace(
        sound(),
        model=evil,
        findings=(wild,),
        layers=(row(1, evil), row(2, evil)),
        conditions=(evil,),
        suppressed=(Suppressed(wild, evil, evil),),
    )
    for text in (render(report), fragment(report)):
        page = Page(text)
        assert "img" not in page.tags
        assert evil in "".join(page.text)


def test_control_characters_do_not_reach_the_page():
    assert "\x1b" not in render(replace(sound(), model="a\x1b[31mb"))


def test_a_thousand_layers_and_findings_stay_below_a_megabyte():
    layers = tuple(row(number, f"model.blocks.{number}.attention.out_proj.weight_{number}x") for number in range(1000))
    findings = tuple(
        replace(LOUD, where=(f"model.blocks.{number}.attention.weight",), operation=number) for number in range(500)
    )
    under = tuple(replace(LOUD, where=(f"u.{number}",), root=CONSTANT.id) for number in range(300))
    report = replace(sound(), layers=layers, findings=(CONSTANT, *under, *findings))
    page = render(report)
    assert len(page.encode()) < 1_000_000
    assert "more findings" in page


def test_the_verdict_is_never_better_than_the_exit_code():
    assert "No fault found" in render(sound())
    assert "No fault found" not in render(incomplete())
    assert "No fault found" not in render(fault())
    assert "Incomplete: not a verdict" in render(incomplete())


def test_a_notebook_gets_the_fragment_and_its_style_stays_inside():
    text = fault()._repr_html_()
    assert text.startswith('<div class="stepzero">')
    assert "<html" not in text
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    for selectors in re.findall(r"([^{}]+)\{", re.sub(r"@media[^{]*", "", style)):
        assert all(part.strip().startswith(".stepzero") for part in selectors.split(",") if part.strip()), selectors


def test_to_html_is_the_page():
    assert fault().to_html() == render(fault())


@pytest.mark.browser
def test_a_browser_shows_it(tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no browser")
    (tmp_path / "r.html").write_text(render(blocks()))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", (tmp_path / "r.html").as_uri()]
    alone: dict = {"stdin": subprocess.DEVNULL, "start_new_session": True}  # a browser may reach for the terminal
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, **alone)
    assert "SZ302" in done.stdout
    assert done.stdout.count("<svg") == 2
