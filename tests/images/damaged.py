"""Files that are no pictures, or not quite: each with a part of the line that says so."""

import struct
import zlib

from PIL import Image


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width, height, depth=8, data=b""):
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def bmp(width, height):
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def gif(width, height):
    frame = b"," + struct.pack("<HHHHBB", 0, 0, width, height, 0, 2) + b"\0;"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + frame


def iptc(data):
    """Data as what an IPTC file holds of one component, 8 x 8 pixels, said to be a JPEG."""
    fields = (((3, 60), b"\1\0"), ((3, 20), b"\0\0\0\x08"), ((3, 30), b"\0\0\0\x08"), ((3, 120), b"\0\0\0\5"))
    return b"".join(
        b"\x1c" + bytes(tag) + struct.pack(">H", len(body)) + body for tag, body in (*fields, ((8, 10), data))
    )


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"

# Of a picture of 40 x 30 noisy pixels, so that no format makes it short.
WHOLE = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "PPM", "TGA")
TOO_LARGE = "over the limit of 178,956,970 pixels; the environment variable SPARSEFAST_MAX_PIXELS raises it"

MADE = {
    "empty.png": (b"", "empty.png is empty, and no picture"),
    "text.png": (b"not a picture", "text.png is not a picture that Pillow can read"),
    "signature.png": (b"\x89PNG\r\n\x1a\n", "signature.png is not a picture that Pillow can read"),
    "wide0.png": (png(0, 5), "wide0.png has a width or height of 0"),
    "high0.png": (png(5, 0), "high0.png has a width or height of 0"),
    "deep0.png": (png(0, 5, 16), "deep0.png has a width or height of 0"),
    "none.bmp": (bmp(0, 5), "none.bmp has a width or height of 0"),
    "none.gif": (gif(0, 0), "none.gif has a width or height of 0"),
    "none.ppm": (b"P6 0 5 255\n", "none.ppm is not a picture that Pillow can read"),
    "huge.png": (png(2**31 - 1, 2**31 - 1), TOO_LARGE),
    "deep.png": (png(2**31 - 1, 2**31 - 1, 16), TOO_LARGE),
    "bomb.png": (png(15000, 12000, data=bytes(10**6)), f"it is 15000 x 12000 pixels, {TOO_LARGE}"),
    "deepbomb.png": (png(15000, 12000, 16, data=bytes(10**6)), f"it is 15000 x 12000 pixels, {TOO_LARGE}"),
    "huge.bmp": (bmp(60000, 60000), TOO_LARGE),
    "huge.gif": (gif(65535, 65535), TOO_LARGE),
    "huge.ppm": (b"P6 99999 99999 65535\n", TOO_LARGE),
    "short.png": (png(100, 100), "short.png cannot be read as a picture: image file is truncated"),
    "short16.png": (png(100, 100, 16), "the PNG is truncated: 0 of 60100 bytes of pixels"),
    "short16.ppm": (b"P6 9 9 65535\n" + bytes(99), "the file is truncated: 99 of 486 bytes of pixels"),
    "loop.tif": (b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "loop.tif"),
    "eps.png": (EPS, "eps.png is of the format EPS, which is not read; convert it to PNG"),
    "iptc.png": (iptc(EPS), "iptc.png is of the format IPTC, which is not read; convert it to PNG"),
    "hdf.png": (b"\x89HDF\r\n\x1a\n" + bytes(100), "hdf.png"),
}


def write_all(folder, noisy):
    """Every damaged file in a folder, by path, with the part of a line that is to be expected of it."""
    found = {}
    for name, (data, message) in MADE.items():
        (folder / name).write_bytes(data)
        found[folder / name] = message
    Image.init()
    for form in WHOLE:
        if form not in Image.SAVE:
            continue
        path = folder / f"cut-{form}.png"
        Image.fromarray(noisy).save(path, format=form)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        found[path] = f"cut-{form}.png cannot be read as a picture: "
    return found
