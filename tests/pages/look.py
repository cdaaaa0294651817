"""Looks at pages of spheres in a headless Chromium: `look.py FOLDER [--chromium PATH]`.

FOLDER has what `cargo run -p blt-render --example sample_pages -- FOLDER` wrote; screenshots are left there. `cargo xtask clients`
runs this. Every page is opened from its file, with WebGL (in software, where there is no card) and without: nothing may be written to
the console, nothing asked for, no text of a patch may act, and what is shown has to be what the sphere holds. Frame times are
printed and not judged.
"""

import argparse
import base64
import io
import json
import shutil
import statistics
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

MODES = {
    "webgl": ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
    "canvas": ["--disable-3d-apis"],
}
# Turns the sphere by its keys for so many frames, and says how long each took.
TURN = """
(frames) => new Promise((done) => {
  const stage = document.getElementById("stage");
  const times = [];
  let last = null;
  const frame = (now) => {
    if (last !== null) times.push(now - last);
    last = now;
    if (times.length === frames) return done(times);
    stage.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
})
"""


class Page:
    """A page that was opened, and what it did beside being looked at. WebGL in software, as it is here, has to be asked for."""

    def __init__(self, browser, path, mode, scheme="light"):
        self.path, self.mode = path, mode
        self.context = browser.new_context(color_scheme=scheme, viewport={"width": 1360, "height": 900})
        self.page = self.context.new_page()
        self.problems = []
        self.page.on("console", lambda message: self.problems.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.problems.append(f"dialog: {dialog.message}"))
        self.page.on("request", self.asked)
        self.page.goto(path.as_uri() + ("#webgl" if mode == "webgl" else ""))
        self.page.wait_for_selector("#stage[data-painter]")
        self.settle()

    def asked(self, request):
        if request.url.split("#")[0] != self.path.as_uri():
            self.problems.append(f"asked for {request.url}")

    def settle(self):
        """Waits until what was asked for is drawn."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def picture(self, selector):
        return Image.open(io.BytesIO(self.page.locator(selector).screenshot())).convert("RGB")

    def close(self):
        assert not self.problems, f"{self.path.name} ({self.mode}): {self.problems}"
        assert self.page.evaluate("() => window.hacked") is None, "a text of the sphere has acted"
        counts = self.page.evaluate("() => [document.scripts.length, document.images.length]")
        assert counts == [2, 0], counts
        self.context.close()


def share_of_others(picture, colour):
    """The share of pixels that are not of that colour."""
    pixels = list(picture.get_flattened_data() if hasattr(picture, "get_flattened_data") else picture.getdata())
    return sum(1 for pixel in pixels if max(abs(a - b) for a, b in zip(pixel, colour)) > 40) / len(pixels)


def as_shown(content):
    """A patch's bytes as the page writes them: text with what cannot be seen written out, or hex."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return content.hex(" ")
    special = {"\n": "⏎\n", "\t": "⇥\t"}
    invisible = lambda c: c < " " or "\x7f" <= c <= "\x9f" or c in "\u200b\u202e\u2066\ufeff"
    return "".join(special.get(c) or (f"\\u{{{ord(c):x}}}" if invisible(c) else c) for c in text) or "(empty)"


def shown_patch(page):
    """The text, and the facts by name, of the patch that is shown; `None` when none is."""
    if not page.page.locator("#patch mark").count():
        return None
    names = page.page.locator("#patch dt").all_text_contents()
    return page.page.locator("#patch mark").text_content(), dict(zip(names, page.page.locator("#patch dd").all_text_contents()))


def check_patch(shown, truth):
    text, facts = shown
    i = int(facts["patch"].split(", ")[1].split()[0])  # `3 of its document, 17 of the sphere`
    assert text == as_shown(base64.b64decode(truth["bytes"][i])), (i, text)
    assert facts["document"] == as_shown(truth["documents"][i].encode()), facts
    assert facts["radius"].startswith(f"{truth['radius'][i]:.2f},"), (facts, truth["radius"][i])
    assert facts["prominence"] == f"{truth['prominence'][i]:.3f}", (facts, truth["prominence"][i])
    assert facts["entropy"] == f"{truth['entropy'][i]:.3f} nats", (facts, truth["entropy"][i])
    return i


def look_at_hostile(browser, mode, folder):
    truth = json.loads((folder / "hostile.json").read_text())
    page = Page(browser, folder / "hostile.html", mode)
    painter = page.page.locator("#stage").get_attribute("data-painter")
    assert painter == mode, f"asked for {mode}, drawn by {painter}"
    drawn = share_of_others(page.picture("#stage"), (255, 255, 255))
    assert drawn > 0.01, f"only {drawn:.4f} of the stage is not paper"

    # Hovering finds patches, and shows what they hold.
    box = page.page.locator("#stage").bounding_box()
    hovered = set()
    for step in range(400):
        x, y = box["x"] + box["width"] * (0.2 + 0.6 * (step % 20) / 20), box["y"] + box["height"] * (0.15 + 0.7 * (step // 20) / 20)
        page.page.mouse.move(x, y)
        if shown := shown_patch(page):
            hovered.add(check_patch(shown, truth))
    assert len(hovered) > 30, f"hovering found {len(hovered)} patches"
    # A click keeps one until Escape. Keys go from patch to patch, through all of them.
    page.page.locator("#stage").press("Escape")
    assert shown_patch(page) is None
    stepped = []
    for _ in range(len(truth["bytes"])):
        page.page.locator("#stage").press("n")
        stepped.append(check_patch(shown_patch(page), truth))
    assert stepped == list(range(len(truth["bytes"]))), "the keys do not reach every patch"

    # Every colouring is another picture, turning and zooming, too.
    pictures = {}
    for choice in page.page.locator("#colour-by input").all():
        choice.check()
        page.settle()
        pictures[choice.get_attribute("value")] = page.picture("#stage").tobytes()
    page.page.mouse.move(box["x"] + 300, box["y"] + 300)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 400, box["y"] + 330, steps=4)
    page.page.mouse.up()
    page.settle()
    pictures["turned"] = page.picture("#stage").tobytes()
    page.page.mouse.wheel(0, -600)
    page.settle()
    pictures["zoomed"] = page.picture("#stage").tobytes()
    page.page.locator("#surface").check()
    page.settle()
    pictures["surface"] = page.picture("#stage").tobytes()
    page.page.locator("#colour-by input[value=document]").check()
    page.page.locator("#legend button").first.click()
    page.settle()
    pictures["without a document"] = page.picture("#stage").tobytes()
    assert len(set(pictures.values())) == len(pictures) == 10, list(pictures)
    page.page.screenshot(path=folder / f"hostile-{mode}.png", full_page=True)
    page.close()
    print(f"{mode}: {drawn:.1%} of the stage drawn, {len(hovered)} patches hovered, {len(stepped)} stepped to")


def look_at_many(browser, mode, folder):
    page = Page(browser, folder / "many.html", mode)
    page.page.screenshot(path=folder / f"many-{mode}.png", full_page=True)
    times = sorted(page.page.evaluate(TURN, 120))
    print(
        f"{mode}: 100000 patches, {(folder / 'many.html').stat().st_size / 1e6:.1f} MB, a frame takes "
        f"{statistics.median(times):.1f} ms (median), {times[int(0.95 * len(times))]:.1f} ms (95th percentile)"
    )
    page.close()


def look_in_the_dark(browser, mode, folder):
    page = Page(browser, folder / "hostile.html", mode, scheme="dark")
    picture = page.picture("body")
    assert max(picture.getpixel((3, 3))) < 60, "the page is not dark"
    assert share_of_others(page.picture("#stage"), picture.getpixel((3, 3))) > 0.01
    page.page.screenshot(path=folder / f"hostile-{mode}-dark.png", full_page=True)
    page.close()


def look_at_empty(browser, mode, folder):
    page = Page(browser, folder / "empty.html", mode)
    assert "no patches" in page.page.locator("#patch").text_content()
    page.page.locator("#stage").press("n")
    page.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    options = parser.parse_args()
    folder = options.folder.resolve()
    with sync_playwright() as playwright:
        for mode, flags in MODES.items():
            launch = {"executable_path": options.chromium, "args": ["--no-sandbox", *flags]}
            browser = playwright.chromium.launch(**launch)
            for look in (look_at_hostile, look_in_the_dark, look_at_empty, look_at_many):
                look(browser, mode, folder)
            browser.close()
        drawing = Image.open(folder / "hostile.png")
        assert share_of_others(drawing.convert("RGB"), (255, 255, 255)) > 0.02, "the PNG is blank"


if __name__ == "__main__":
    main()
