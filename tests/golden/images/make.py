#!/usr/bin/python3
"""Makes the images of this folder with Pillow, and beside each the pixels that Pillow reads from it:
name.EXT and name.EXT.rgb, the latter uint8 (H,W,3), Image.open(...).convert('RGB').
Shapes are 48x40 (w x h) unless the name says small. exif*.jpg also have .upright.rgb, after ImageOps.exif_transpose."""
import random
import struct
import zlib
from pathlib import Path

from PIL import Image, ImageOps

HERE = Path(__file__).parent
random.seed(1)
W, H = 48, 40


def picture(mode, size=(W, H)):
    bands = len(Image.new(mode, (1, 1)).getbands())
    w, h = size
    image = Image.new(mode, size)
    image.putdata([tuple((x * 5 * (b + 1) + y * (7 - b) + random.randrange(9)) % 256 for b in range(bands)) if bands > 1
                   else (x * 5 + y * 3 + random.randrange(9)) % 256 for y in range(h) for x in range(w)])
    return image


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def raw_png(name, bits, colour, channels, extra=b''):
    """PNG kinds that Pillow cannot write."""
    row_bytes = (W * bits * channels + 7) // 8
    rows = b''.join(b'\0' + bytes(random.randrange(256) for _ in range(row_bytes)) for _ in range(H))
    if bits == 16 and colour == 0:      # some values below 256, which survive the clipping
        rows = b''.join(b'\0' + b''.join(struct.pack('>H', random.choice([random.randrange(256), random.randrange(65536)]))
                                         for _ in range(W)) for _ in range(H))
    ihdr = struct.pack('>IIBBBBB', W, H, bits, colour, 0, 0, 0)
    (HERE / name).write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', ihdr) + extra + chunk(b'IDAT', zlib.compress(rows, 9)) +
                              chunk(b'IEND', b''))


def main():
    rgb = picture('RGB')
    rgb.save(HERE / 'rgb8.png')
    rgb.save(HERE / 'rgb.jpg', quality=90, subsampling=2)
    rgb.save(HERE / 'progressive.jpg', quality=80, progressive=True, subsampling=0)
    picture('L').save(HERE / 'grey.jpg', quality=90)
    picture('CMYK').save(HERE / 'cmyk.jpg', quality=90)
    picture('RGB', (20, 10)).save(HERE / 'small.jpg')
    picture('L').save(HERE / 'grey8.png')
    picture('LA').save(HERE / 'grey_alpha8.png')
    picture('RGBA').save(HERE / 'rgba8.png')
    rgb.quantize(37).save(HERE / 'palette8.png', transparency=3)
    rgb.quantize(4).save(HERE / 'palette2.png', bits=2)
    raw_png('grey1.png', 1, 0, 1)
    raw_png('grey2.png', 2, 0, 1)
    raw_png('grey4.png', 4, 0, 1, chunk(b'tRNS', b'\0\5'))
    raw_png('grey16.png', 16, 0, 1)
    raw_png('rgb16.png', 16, 2, 3)
    raw_png('grey_alpha16.png', 16, 4, 2)
    raw_png('rgba16.png', 16, 6, 4, chunk(b'gAMA', struct.pack('>I', 45455)))
    for orientation in (3, 5, 6, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture('RGB', (20, 10)).save(HERE / f'exif{orientation}_small.jpg', exif=exif, quality=90)
    for path in sorted(HERE.iterdir()):
        if path.suffix not in ('.png', '.jpg'):
            continue
        with Image.open(path) as image:
            (HERE / f'{path.name}.rgb').write_bytes(image.convert('RGB').tobytes())
            if path.name.startswith('exif'):
                (HERE / f'{path.name}.upright.rgb').write_bytes(ImageOps.exif_transpose(image).convert('RGB').tobytes())


main()
