from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from display_p3 import build_display_p3_profile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageCms, features

from shvit_mobile.errors import BadImages
from shvit_mobile.images import decode
from shvit_mobile.images.decode import IMAGE_FORMATS, IMAGE_SUFFIXES, UndecodableImage, decode_image
from tests.images.pictures import draw_blocks, draw_texture, encode_picture

LOSSLESS = {"PNG": {}, "BMP": {}, "TIFF": {}, "PPM": {}, "WEBP": {"lossless": True}}
STORED_AS = {  # how a camera stores an upright picture for each value of EXIF's orientation
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


def to_levels(picture: Image.Image) -> np.ndarray:
    assert picture.mode == "RGB"
    return np.asarray(picture).astype(int)


def get_block_levels(picture: Image.Image) -> np.ndarray:
    """The levels inside the six blocks of `quarters`, away from their borders."""
    assert picture.size == (48, 32)
    return to_levels(picture).reshape(2, 16, 3, 16, 3)[:, 4:12, :, 4:12].transpose(0, 2, 1, 3, 4)


def draw_oriented(orientation: int) -> tuple[Image.Image, Image.Exif]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return Image.fromarray(np.ascontiguousarray(STORED_AS[orientation](np.asarray(draw_blocks())))), exif


def encode_tiff(
    width: int, height: int, data: bytes, *, bits: int, photometric: int = 1, sample_format: int = 1
) -> bytes:
    """A little-endian, uncompressed TIFF of one channel, of kinds that Pillow does not write."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 8)]
    tags += [(277, 3, 1), (278, 4, height), (279, 4, len(data)), (339, 3, sample_format)]
    padded = data + b"\0" * (len(data) % 2)
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(padded)) + padded + struct.pack("<H", len(tags)) + directory + b"\0" * 4


def encode_png(width: int, height: int, *, depth: int, colour: int, data: bytes, extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = (
        encode_chunk(b"IHDR", header) + extra + encode_chunk(b"IDAT", zlib.compress(data)) + encode_chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + chunks


def encode_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("format", LOSSLESS)
def test_a_lossless_file_gives_its_pixels(format, tmp_path):
    picture = draw_texture(37, 53)
    data = encode_picture(picture, format, **LOSSLESS[format])
    (tmp_path / "named.jpg").write_bytes(data)  # the first bytes count, not the name
    assert (to_levels(decode_image(data)) == to_levels(picture)).all()
    assert (to_levels(decode_image(tmp_path / "named.jpg")) == to_levels(picture)).all()


@pytest.mark.parametrize("format", ["JPEG", "TIFF", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", STORED_AS)
def test_exif_orientation_is_applied_once(format, orientation):
    stored, exif = draw_oriented(orientation)
    options = {"lossless": True} if format == "WEBP" else {"quality": 95} if format == "JPEG" else {}
    upright = decode_image(encode_picture(stored, format, exif=exif, **options))
    assert abs(get_block_levels(upright) - get_block_levels(draw_blocks())).max() <= (12 if format == "JPEG" else 0)
    again = decode_image(encode_picture(upright, "PNG"))
    assert again.size == upright.size


def test_the_result_has_no_metadata_that_would_turn_it_again():
    stored, exif = draw_oriented(6)
    upright = decode_image(encode_picture(stored, "JPEG", exif=exif))
    assert not upright.getexif()
    assert not upright.info


@pytest.mark.parametrize("orientation", [0, 9, 60_000])
def test_an_orientation_that_does_not_exist_is_passed_over(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert (to_levels(decode_image(encode_picture(draw_blocks(), "PNG", exif=exif))) == to_levels(draw_blocks())).all()


@pytest.mark.parametrize(
    "exif",
    [b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\xff" * 3, b"Exif\0\0no TIFF", b"Exif\0\0II"],
    ids=["tags cut short", "no directory", "cut short"],
)
def test_damaged_exif_does_not_cost_the_picture(exif):
    for format in ("JPEG", "PNG"):  # Pillow itself forgives the one and not the other
        data = encode_picture(draw_blocks(), format, exif=exif)
        assert abs(get_block_levels(decode_image(data)) - get_block_levels(draw_blocks())).max() <= 20


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "BMP"])
def test_greys_become_three_equal_channels(format):
    greys = Image.fromarray(np.arange(0, 250, 2, dtype=np.uint8)[None].repeat(9, axis=0))
    pixels = to_levels(decode_image(encode_picture(greys, format)))
    assert (pixels[..., 0] == pixels[..., 1]).all()
    assert (pixels[..., 0] == pixels[..., 2]).all()
    assert abs(pixels[..., 0] - np.asarray(greys)).max() <= (4 if format == "JPEG" else 0)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "PPM"])
def test_one_bit_becomes_black_and_white(format):
    bits = np.arange(7 * 11).reshape(7, 11) % 3 == 0
    pixels = to_levels(decode_image(encode_picture(Image.fromarray(bits), format)))
    assert (pixels == np.where(bits, 255, 0)[..., None]).all()


@pytest.mark.parametrize("format", ["PNG", "GIF", "BMP", "TIFF"])
def test_a_palette_is_looked_up(format):
    palette = draw_blocks().quantize(6)
    assert (to_levels(decode_image(encode_picture(palette, format))) == to_levels(draw_blocks())).all()


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 128])])
def test_a_palettes_transparency_shows_white(transparency):
    palette = Image.new("P", (3, 1))
    palette.putpalette([200, 10, 20, 0, 0, 0, 0, 0, 100])
    palette.putdata([0, 1, 2])
    pixels = to_levels(decode_image(encode_picture(palette, "PNG", transparency=transparency)))[0].tolist()
    expected = [[200, 10, 20], [255, 255, 255], [0, 0, 100] if transparency == 1 else [127, 127, 177]]
    assert abs(np.array(pixels) - expected).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(mode):
    alphas = Image.fromarray(np.array([[0, 255, 128]], dtype=np.uint8))
    picture = Image.new("RGB", (3, 1), (60, 60, 60)).convert(mode)
    picture.putalpha(alphas)
    pixels = to_levels(decode_image(encode_picture(picture, "PNG")))[0, :, 0]
    assert abs(pixels - [255, 60, 157]).max() <= 1


@pytest.mark.parametrize(("mode", "colour"), [("L", 90), ("RGB", (90, 20, 30))])
def test_a_transparent_colour_shows_white(mode, colour):
    picture = Image.new(mode, (2, 1), colour)
    picture.putpixel((1, 0), 10 if mode == "L" else (90, 20, 31))
    pixels = to_levels(decode_image(encode_picture(picture, "PNG", transparency=colour)))[0]
    assert pixels[0].tolist() == [255, 255, 255]
    assert pixels[1].tolist() == ([10, 10, 10] if mode == "L" else [90, 20, 31])


def test_opaque_alpha_changes_nothing():
    picture = draw_texture(20, 30)
    assert (to_levels(decode_image(encode_picture(picture.convert("RGBA"), "PNG"))) == to_levels(picture)).all()


def to_cmyk(picture: Image.Image) -> Image.Image:
    """The picture in CMYK, its darkness partly in black ink."""
    rgb = np.asarray(picture).astype(int)
    black = 255 - rgb.max(axis=-1, keepdims=True)
    cmy = np.rint(255 * (1 - rgb / np.maximum(255 - black, 1)))
    inks = np.concatenate([cmy, black], axis=-1).clip(0, 255).astype(np.uint8)
    return Image.merge("CMYK", [Image.fromarray(inks[..., channel]) for channel in range(4)])


def strip_adobe_marker(data: bytes) -> bytes:
    start = data.index(b"\xff\xee")
    (length,) = struct.unpack(">H", data[start + 2 : start + 4])
    assert data[start + 4 : start + 9] == b"Adobe"
    return data[:start] + data[start + 2 + length :]


def test_cmyk_becomes_rgb():
    assert (
        abs(
            get_block_levels(decode_image(encode_picture(to_cmyk(draw_blocks()), "TIFF")))
            - get_block_levels(draw_blocks())
        ).max()
        <= 2
    )


def test_adobes_inverted_cmyk_becomes_rgb():
    data = encode_picture(to_cmyk(draw_blocks()), "JPEG", quality=95)
    assert b"Adobe" in data
    assert abs(get_block_levels(decode_image(data)) - get_block_levels(draw_blocks())).max() <= 8


def test_cmyk_of_others_becomes_rgb():
    data = strip_adobe_marker(encode_picture(ImageChops.invert(to_cmyk(draw_blocks())), "JPEG", quality=95))
    assert abs(get_block_levels(decode_image(data)) - get_block_levels(draw_blocks())).max() <= 8


def test_ycck_becomes_rgb():
    # Stored are YCC of (255 - CMY's inverse), which is CMY itself, and the inverse of K. Pillow inverts what it stores.
    cmyk = to_cmyk(draw_blocks())
    ycc = Image.merge("RGB", cmyk.split()[:3]).convert("YCbCr").split()
    stored = Image.merge("CMYK", [*ycc, ImageChops.invert(cmyk.getchannel("K"))])
    data = bytearray(encode_picture(ImageChops.invert(stored), "JPEG", quality=95, subsampling=0))
    data[data.index(b"Adobe") + 11] = 2  # says YCCK
    assert abs(get_block_levels(decode_image(bytes(data))) - get_block_levels(draw_blocks())).max() <= 8


RAMP = np.arange(0, 65536, 40, dtype=np.uint16).reshape(1, -1).repeat(3, axis=0)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_greys_are_scaled(format):
    pixels = to_levels(decode_image(encode_picture(Image.fromarray(RAMP), format)))
    assert (pixels == (RAMP // 256)[..., None]).all()
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_sixteen_bit_colours_are_scaled_as_greys_are():
    rows = np.stack([RAMP, RAMP[:, ::-1], RAMP], axis=-1).astype(">u2")
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    pixels = to_levels(decode_image(encode_png(RAMP.shape[1], 3, depth=16, colour=2, data=data)))
    assert (pixels == rows // 256).all()


def test_a_transparent_sixteen_bit_grey_shows_white():
    data = b"\0" + np.array([1000, 1001], dtype=">u2").tobytes()
    picture = encode_png(2, 1, depth=16, colour=0, data=data, extra=encode_chunk(b"tRNS", struct.pack(">H", 1000)))
    assert to_levels(decode_image(picture))[0, :, 0].tolist() == [255, 3]


def test_twelve_bits_are_scaled():
    # Two numbers in three bytes: 0xFFF and 0x7F0.
    assert to_levels(decode_image(encode_tiff(2, 1, b"\xff\xf7\xf0", bits=12)))[0, :, 0].tolist() == [255, 127]


def test_white_may_be_zero_in_sixteen_bits():
    data = np.array([[0, 65535, 0x4000]], dtype="<u2").tobytes()
    assert to_levels(decode_image(encode_tiff(3, 1, data, bits=16, photometric=0)))[0, :, 0].tolist() == [255, 0, 191]


@pytest.mark.parametrize(
    "data",
    [
        encode_tiff(2, 1, np.array([[0.0, 1.0]], dtype="<f4").tobytes(), bits=32, sample_format=3),
        encode_tiff(2, 1, np.array([[0, 70_000]], dtype="<i4").tobytes(), bits=32, sample_format=2),
        encode_tiff(2, 1, np.array([[0, 30_000]], dtype="<i2").tobytes(), bits=16, sample_format=2),
    ],
    ids=["fractions", "32 bits", "signed"],
)
def test_numbers_without_a_known_white_are_refused(data):
    with pytest.raises(BadImages, match="the value of white is unknown"):
        decode_image(data)


@pytest.mark.parametrize(("format", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})])
def test_the_first_frame_of_several_counts(format, options):
    first, second = Image.new("RGB", (20, 10), (255, 0, 0)), Image.new("RGB", (20, 10), (0, 0, 255))
    data = encode_picture(first, format, save_all=True, append_images=[second], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert (to_levels(decode_image(data)) == (255, 0, 0)).all()


def test_a_jpeg_of_several_pictures_gives_the_first():
    data = encode_picture(draw_blocks(), "MPO", save_all=True, append_images=[Image.new("RGB", (48, 32))], quality=95)
    assert abs(get_block_levels(decode_image(data)) - get_block_levels(draw_blocks())).max() <= 12


@pytest.mark.parametrize("format", IMAGE_FORMATS)
@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9])
def test_a_file_cut_short_is_refused(format, share):
    data = encode_picture(draw_texture(90, 120), format)
    with pytest.raises(BadImages, match="cannot be decoded"):
        decode_image(data[: int(len(data) * share)])


def test_a_jpeg_lacks_nothing_or_is_refused_wherever_it_is_cut():
    picture = draw_texture(40, 56)
    data = encode_picture(picture, "JPEG", quality=90)
    whole = to_levels(decode_image(data))
    refused = 0
    for length in range(0, len(data), 7):
        try:
            assert (to_levels(decode_image(data[:length])) == whole).all()
        except BadImages:
            refused += 1
    assert refused > len(data) // 7 - 3


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(IMAGE_FORMATS), st.data())
def test_damage_never_raises_anything_else_nor_warns(format, data):
    stored, exif = draw_oriented(6)
    damaged = bytearray(
        encode_picture(stored, format, **({"exif": exif} if format in ("JPEG", "PNG", "TIFF", "WEBP") else {}))
    )
    places = st.integers(0, min(len(damaged), 400) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=6)):
        damaged[place] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            picture = decode_image(bytes(damaged))
        except BadImages as reason:
            words = reason.what
        else:
            words = ""
            assert picture.mode == "RGB"
    assert not words or (words.startswith("The image cannot be decoded: ") and words.endswith("."))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused(data):
    with pytest.raises(BadImages):
        decode_image(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b"<html>not found</html>", "its format is unknown"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "its format is unknown"),
        (encode_png(60_000, 60_000, depth=8, colour=2, data=b""), "pixels"),
        (
            encode_png(12_000, 10_000, depth=8, colour=2, data=b""),
            "it has 12000 x 10000 pixels; the limit is 100,000,000",
        ),
    ],
    ids=["empty", "html", "postscript", "bomb", "120 megapixels"],
)
def test_the_error_says_what_is_wrong(data, words):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadImages, match=words):
            decode_image(data)


def test_the_limit_on_pixels_is_inclusive(monkeypatch):
    monkeypatch.setattr(decode, "MAX_PIXELS", 600)
    assert decode_image(encode_picture(draw_texture(20, 30), "PNG")).size == (30, 20)
    with pytest.raises(BadImages, match="31 x 20 pixels"):
        decode_image(encode_picture(draw_texture(20, 31), "PNG"))


def test_a_file_that_is_missing_a_folder_or_a_pipe_is_refused(tmp_path):
    with pytest.raises(BadImages, match=r"gone\.jpg cannot be decoded: no such file"):
        decode_image(tmp_path / "gone.jpg")
    with pytest.raises(BadImages, match="it is not a file"):
        decode_image(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(BadImages, match="it is not a file"):
            decode_image(tmp_path / "pipe.png")


def test_warnings_are_silenced_for_pillow_and_only_while_it_works():
    warned = encode_png(9_500, 9_500, depth=8, colour=0, data=b"")  # above what Pillow warns of, below the limit
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        with pytest.raises(BadImages):
            decode_image(warned)
        assert not heard
        assert list(warnings.filters) == before
        with Image.open(io.BytesIO(warned)):
            assert [one.category for one in heard] == [Image.DecompressionBombWarning]


def test_threads_leave_the_filters_of_warnings_as_they_were():
    data = [encode_picture(draw_texture(30 + side, 40), "PNG") for side in range(60)]
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(decode_image, one) for one in data]
        for _ in range(100):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
        assert [future.result().height for future in futures] == list(range(30, 90))
    assert list(warnings.filters) == before


def test_every_suffix_is_one_that_pillow_knows():
    Image.init()
    known = {suffix for suffix, format in Image.registered_extensions().items() if format in IMAGE_FORMATS}
    assert known >= IMAGE_SUFFIXES


# -- Formats that other libraries decode -------------------------------------------------------------------------------


def encode_heic(picture: Image.Image, **options) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(picture).save(file, quality=95, **options)
    return file.getvalue()


def encode_avif(picture: Image.Image, **options) -> bytes:
    if not features.check("avif"):
        pytest.skip("Pillow decodes no AVIF")
    return encode_picture(picture, "AVIF", quality=95, **options)


@pytest.mark.parametrize("encode", [encode_heic, encode_avif])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_heic_and_avif_are_decoded_upright(encode, orientation):
    stored, exif = draw_oriented(orientation)
    picture = decode_image(encode(stored, exif=exif.tobytes()))
    assert np.abs(get_block_levels(picture) - get_block_levels(draw_blocks())).max() < 12


@pytest.mark.parametrize("encode", [encode_heic, encode_avif])
def test_without_its_library_the_error_names_the_extra(encode, monkeypatch):
    data = encode(draw_blocks())
    monkeypatch.setattr(decode, "_register_decoder", lambda format: False)
    with pytest.raises(UndecodableImage, match=r"pip install 'shvit-mobile\[heic\]'"):
        decode_image(data)
    assert decode.explain_suffix(".HEIC")[0]
    assert "shvit-mobile[heic]" in decode.explain_suffix(".HEIC")[1]


@pytest.mark.parametrize("brand", [b"heic", b"avif", b"mif1"])
def test_a_damaged_heic_or_avif_is_refused(brand):
    with pytest.raises(UndecodableImage):
        decode_image(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1" + brand + bytes(2000))


def test_suffixes_tell_pictures_from_other_files():
    assert decode.explain_suffix(".JPG") == (True, "")
    assert decode.explain_suffix(".dng")[0]
    assert decode.explain_suffix(".dng")[1]
    assert not decode.explain_suffix(".txt")[0]
    assert decode.explain_suffix("")[1]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_color_profile_changes_no_value(format: str) -> None:
    """LittleCMS, which converts it, gives other values: the profile is one that converters understand."""
    options = {"lossless": True} if format == "WEBP" else {}
    profile = build_display_p3_profile()
    plain = decode_image(encode_picture(draw_blocks(), format, **options))
    tagged = encode_picture(draw_blocks(), format, icc_profile=profile, **options)
    assert (to_levels(decode_image(tagged)) == to_levels(plain)).all()
    with Image.open(io.BytesIO(tagged)) as opened:
        assert opened.info["icc_profile"] == profile
    assert np.abs(to_levels(convert_to_srgb(plain)) - to_levels(plain)).mean() > 5


def test_orientation_is_applied_beside_a_profile() -> None:
    stored, exif = draw_oriented(6)
    tagged = encode_picture(stored, "PNG", exif=exif, icc_profile=build_display_p3_profile())
    assert (to_levels(decode_image(tagged)) == to_levels(draw_blocks())).all()


def convert_to_srgb(picture: Image.Image) -> Image.Image:
    """Convert a picture in Display P3 as an app would that shows it."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(build_display_p3_profile()))
    converted = ImageCms.profileToProfile(picture, profile, ImageCms.createProfile("sRGB"))
    assert converted is not None
    return converted


@pytest.mark.parametrize("reduction", [2, 4, 8])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_at_reduced_scale_is_the_mean_of_its_blocks(reduction: int, mode: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    smooth = draw_texture(67, 90).resize((900, 670)).convert(mode)
    data = encode_picture(smooth, "JPEG", quality=95, subsampling=0, exif=exif)
    reduced, whole = decode_image(data, reduction=reduction), decode_image(data)
    assert reduced.size == (670 // reduction, 900 // reduction)
    # Turned clockwise, the last row is the first column: what is left over is at the left.
    upright = whole.transpose(Image.Transpose.ROTATE_90).crop(
        (0, 0, 900 // reduction * reduction, 670 // reduction * reduction)
    )
    means = upright.reduce(reduction).transpose(Image.Transpose.ROTATE_270)
    assert np.abs(to_levels(reduced) - to_levels(means)).mean() < 0.6


def test_only_a_jpeg_is_decoded_at_reduced_scale() -> None:
    with pytest.raises(UndecodableImage) as error:
        decode_image(encode_picture(draw_blocks(), "PNG"), reduction=2)
    assert error.value.reason == "only a JPEG can be decoded at reduced scale"
    with pytest.raises(UndecodableImage):
        decode_image(encode_picture(draw_blocks(), "JPEG"), reduction=3)
