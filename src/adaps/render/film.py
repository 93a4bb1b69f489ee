"""Pictures → a GIF or an MP4 file. Stage: report."""

import importlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from adaps.errors import UserError
from adaps.files.plain_files import replace
from adaps.render.pictures import Painter

HOLD_SECONDS = 1.5
"""How long a GIF, which begins again by itself, stays at its end."""
SAMPLES = 8
"""The palette is made from so many pictures of the film."""
FLAT_COLOURS = 96
"""So many of its 256 colours are the commonest ones as they are; the others, mixtures."""

Writer = Callable[[Path, Painter, int, int, Callable[[], None]], None]
"""Path, pictures, their number, pictures per second, what to call after each picture."""


def writer_of(path: Path) -> Writer:
    """What writes a file of this name.

    Raises:
        UserError: the extension is neither .gif nor .mp4, or what writes MP4 is not installed.
    """
    if path.suffix.lower() == ".gif":
        return write_gif
    if path.suffix.lower() == ".mp4":
        _ffmpeg()
        return write_mp4
    raise UserError(f"--out must end in .gif or .mp4, not {path.name!r}")


def write_gif(path: Path, picture: Painter, count: int, fps: int, tick: Callable[[], None]) -> None:
    """Write a looping GIF of the first ``count`` pictures."""
    moments = np.linspace(0, count - 1, min(SAMPLES, count)).round().astype(int)
    palette = _palette([picture(int(moment)) for moment in moments])
    durations = [round(100 / fps) * 10] * count
    durations[-1] = max(durations[-1], round(1000 * HOLD_SECONDS))

    def frames() -> Iterator[Image.Image]:
        for moment in range(count):
            yield _indexed(picture(moment), palette)
            tick()

    rest = frames()
    first = next(rest)
    options = {"append_images": rest, "duration": durations, "loop": 0}
    replace(path, lambda file: first.save(file, "GIF", save_all=True, **options))


def write_mp4(path: Path, picture: Painter, count: int, fps: int, tick: Callable[[], None]) -> None:
    """Write an H.264 film of the first ``count`` pictures."""
    height, width, _ = _even(picture(0)).shape
    source = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps} -i -"
    film = "-c:v libx264 -crf 18 -pix_fmt yuv420p -movflags +faststart -f mp4 -y"

    def write(file: Path) -> None:
        words = [_ffmpeg(), "-loglevel", "error", *source.split(), *film.split(), str(file)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as ffmpeg:
            assert ffmpeg.stdin  # a pipe, as asked for
            for moment in range(count):
                ffmpeg.stdin.write(_even(picture(moment)).tobytes())
                tick()
            _, complaint = ffmpeg.communicate()
        if ffmpeg.returncode:
            raise OSError(complaint.decode(errors="replace").strip().partition("\n")[0])

    replace(path, write)


def _ffmpeg() -> str:
    """Path of the ffmpeg that a package brings along, imported only where it is needed.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        raise UserError(
            "to write MP4: pip install 'adaps[video]'; GIF needs nothing more"
        ) from None


def _even(image: Image.Image) -> np.ndarray:
    """Pixels; the last row or column twice where a side is odd, which H.264 does not take."""
    pixels = np.asarray(image)
    height, width, _ = pixels.shape
    return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


class Palette(NamedTuple):
    """The 256 colours of a GIF."""

    colours: list[int]
    """Red, green and blue of one after the other."""
    lookup: Image.Image
    """The same colours as they must be for Pillow to find the nearest one."""


def _palette(images: list[Image.Image]) -> Palette:
    """Flat areas keep their colours exactly, smooth edges share the rest.

    Pillow looks colours up by their six highest bits, and as if the lowest two were zero.
    """
    strip = np.concatenate([np.asarray(image).reshape(-1, 3) for image in images])
    codes = strip.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    counted, counts = np.unique(codes, return_counts=True)
    common = counted[counts.argsort()[::-1][:FLAT_COLOURS]]
    flat = np.stack([common >> 16, common >> 8 & 255, common & 255], axis=1)
    num_mixed = 256 - len(flat)
    mixed = Image.fromarray(strip[None]).quantize(num_mixed).getpalette() or []
    colours = np.concatenate([flat, np.reshape(mixed, (-1, 3))[:num_mixed]]).astype(np.uint8)
    # Of colours that look the same to Pillow, the commonest stays.
    _, firsts = np.unique(colours & 0xFC, axis=0, return_index=True)
    colours = colours[np.sort(firsts)]
    lookup = Image.new("P", (1, 1))
    lookup.putpalette((colours & 0xFC).ravel().tolist())
    return Palette(colours.ravel().tolist(), lookup)


def _indexed(image: Image.Image, palette: Palette) -> Image.Image:
    """Each pixel as the nearest colour of the palette."""
    indexed = image.quantize(palette=palette.lookup, dither=Image.Dither.NONE)
    indexed.putpalette(palette.colours)
    return indexed
