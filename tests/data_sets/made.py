"""Small data sets in the formats of the real ones, made of photographs."""

import pickle
import struct

import numpy as np
from PIL import Image

from sparsefast.images.photos import photos

WNIDS = ("n01440764", "n02102040", "n03394916")


def parts(n, height, width, seed=0):
    """Parts of photographs, (n, height, width, 3), uint8, all different."""
    pictures = [photos()["flower"], photos()["china"]]
    random = np.random.default_rng(seed)
    found = np.empty((n, height, width, 3), np.uint8)
    for number, part in enumerate(found):
        picture = pictures[number % 2]
        y, x = (random.integers(0, s - d) for s, d in zip(picture.shape, (height, width), strict=False))
        part[...] = picture[y : y + height, x : x + width]
    return found


def cifar_batches(n):
    """By the name of the file: images (n, 3, 32, 32), uint8, and labels (n,)."""
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    images = np.ascontiguousarray(parts(6 * n, 32, 32).transpose(0, 3, 1, 2)).reshape(6, n, 3, 32, 32)
    labels = np.random.default_rng(1).integers(0, 10, (6, n))
    return {name: (images[i], labels[i]) for i, name in enumerate(names)}


def batch_dict(images, labels, as_bytes=True):
    """A batch as Python has it, with the keys of the published files."""
    data = images.reshape(len(images), 3072)
    names = [b"x_s_%06d.png" % number for number in range(len(labels))]
    found = {b"batch_label": b"a batch", b"labels": labels.tolist(), b"data": data, b"filenames": names}
    return found if as_bytes else {key.decode(): value for key, value in found.items()}


def pickled_by_python_2(images, labels, fortran=False):
    """The bytes of a batch as the published ones have them: protocol 2, strings of bytes, numpy.core.multiarray."""

    def string(value):
        return b"U" + struct.pack("<B", len(value)) + value

    def integer(value):
        return b"J" + struct.pack("<i", value)

    data = images.reshape(len(images), 3072)
    raw = data.tobytes(order="F" if fortran else "C")
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + integer(0) + b"\x85" + string(b"b") + b"\x87R"
        b"(" + integer(1) + integer(len(data)) + integer(3072) + b"\x86"
        b"cnumpy\ndtype\n" + string(b"u1") + integer(0) + integer(1) + b"\x87R"
        b"(" + integer(3) + string(b"|") + b"NNN" + integer(-1) + integer(-1) + integer(0) + b"tb"
        b"" + (b"\x88" if fortran else b"\x89") + b"T" + struct.pack("<i", len(raw)) + raw + b"tb"
    )
    numbers = b"](" + b"".join(map(integer, labels.tolist())) + b"e"
    names = b"](" + b"".join(string(b"x_s_%06d.png" % number) for number in range(len(labels))) + b"e"
    fields = (b"batch_label", string(b"a batch")), (b"labels", numbers), (b"data", array), (b"filenames", names)
    return b"\x80\x02}(" + b"".join(string(key) + value for key, value in fields) + b"u."


def write_cifar(root, form, n=7):
    """`form` "2" (as Python 2 pickled it), "3" (as Python 3 does) or "bin"; gives what was written."""
    batches = cifar_batches(n)
    folder = root / ("cifar-10-batches-bin" if form == "bin" else "cifar-10-batches-py")
    folder.mkdir(parents=True)
    for name, (images, labels) in batches.items():
        if form == "bin":
            records = np.concatenate([labels[:, None].astype(np.uint8), images.reshape(n, -1)], axis=1)
            (folder / f"{name}.bin").write_bytes(records.tobytes())
        elif form == "2":
            (folder / name).write_bytes(pickled_by_python_2(images, labels))
        else:
            (folder / name).write_bytes(pickle.dumps(batch_dict(images, labels)))
    return batches


def write_celeba(root, parts_of_list=(0, 1, 2, 0, 0, 1, 2, 2), below="celeba"):
    folder = root / below / "img_align_celeba"
    folder.mkdir(parents=True)
    pictures = parts(len(parts_of_list), 218, 178)
    for number, picture in enumerate(pictures, 1):
        Image.fromarray(picture).save(folder / f"{number:06d}.jpg", quality=90)
    lines = [f"{number:06d}.jpg {part}\n" for number, part in enumerate(parts_of_list, 1)]
    (folder.parent / "list_eval_partition.txt").write_text("".join(lines))
    return folder


def write_imagenette(root, variant="imagenette2-160", n=4):
    shapes = ((50, 80), (71, 48), (48, 48), (60, 90))
    for side, more in (("train", 0), ("val", 100)):
        for number, wnid in enumerate(WNIDS):
            folder = root / variant / side / wnid
            folder.mkdir(parents=True)
            for i in range(n):
                picture = parts(1, *shapes[i % 4], seed=more + 10 * number + i)[0]
                Image.fromarray(picture).save(folder / f"{wnid}_{i}.JPEG", quality=90)
    return root / variant


def write_folder(root, n=12, height=45, width=61):
    """Pictures in a folder and one below it, PNG and JPEG, beside what is none."""
    (root / "below" / "deep").mkdir(parents=True)
    for number, picture in enumerate(parts(n, height, width)):
        place = root / ("below/deep" if number % 3 == 0 else ".")
        Image.fromarray(picture).save(place / f"{number}.{('png', 'jpg')[number % 2]}")
    (root / "notes.txt").write_text("not a picture")
    (root / ".hidden.png").write_bytes(b"not a picture either")
    return root
