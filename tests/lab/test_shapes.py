import torch

from stepzero.lab import shapes


def drawn(count=180, seed=0):
    return shapes.draw(count, torch.Generator().manual_seed(seed))


def test_classes_are_all_sets_of_one_or_two_shapes():
    assert len(shapes.CLASSES) == 9
    assert all(1 <= len(each) <= 2 for each in shapes.CLASSES)


def test_pictures_are_grey_and_no_class_is_rare():
    pictures, labels = drawn()
    assert pictures.shape == (180, shapes.SIDE**2)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert set(labels.bincount(minlength=9).tolist()) == {20}
    assert ((pictures > 0).sum(1) >= 12).all()


def test_a_seed_is_a_set_of_pictures():
    assert torch.equal(drawn()[0], drawn()[0])
    assert not torch.equal(drawn()[0], drawn(seed=1)[0])


def test_two_objects_cover_more_than_one():
    pictures, labels = drawn(900)
    area = (pictures > 0).float().sum(1)
    is_one = labels < len(shapes.KINDS)
    assert area[~is_one].mean() > 1.4 * area[is_one].mean()


def test_a_shape_is_known_by_what_it_fills_of_its_box():
    """Of its bounding box an ellipse fills about pi / 4 on average over turns, a triangle about half."""
    pictures, labels = drawn(1800)

    def filled(kind):
        shares = []
        for picture in pictures[labels == shapes.KINDS.index(kind)].view(-1, shapes.SIDE, shapes.SIDE):
            rows, columns = (picture.amax(axis).nonzero()[:, 0] for axis in (1, 0))
            inside = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            shares.append((inside > picture.max() / 2).float().mean())
        return float(torch.stack(shares).mean())

    assert filled("triangle") < filled("parallelogram") < filled("ellipse")
