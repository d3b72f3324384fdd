"""The page of seq2seq serve in headless Chromium: python3 seq2seq_page.py URL SENTENCE TRANSLATION [FOLDER]

Checks the text, the list, the attention, errors, and that nothing comes from elsewhere, in light and dark, wide and
narrow. Screenshots go into the folder. Status 77: playwright or Chromium is not here.
"""

import re
import shutil
import sys

try:
    from playwright.sync_api import sync_playwright
except ImportError:
    sys.exit(77)
chromium = shutil.which("chromium")
if chromium is None:
    sys.exit(77)

url, sentence, translation = sys.argv[1:4]
folder = sys.argv[4] if len(sys.argv) > 4 else None


def expect(condition, what):
    if not condition:
        sys.exit(f"seq2seq_page.py: {what}")


def check_long(page):
    """A long text is shown, and a move of the pointer over its map redraws little."""
    for tokens in (250, 1000):
        page.evaluate("""(n) => {
          const numbers = Array.from({ length: n }, (_, i) => i);
          const attention = [[numbers.map((t) => numbers.map((s) => (s === t ? 1 : 0)))]];
          const one = { text: "long", score: 0, log_probability: 0, tokens: numbers.map(String), attention };
          result = { source_tokens: numbers.map(String), unknown: [], seconds: 0, translations: [one] };
          focus = { layer: 0, head: -1 };
          show();
        }""", tokens)
        size = page.eval_on_selector("#map", "(map) => Math.max(map.width, map.height)")
        expect(0 < size <= 4200, f"the map of {tokens} tokens has {size} pixels")
        drawn = page.eval_on_selector("#map", "(map) => map.getContext('2d').getImageData(map.width - 2, map.height - 3, 1, 1).data[3]")
        expect(drawn == 255, f"the map of {tokens} tokens is blank")
        took = page.evaluate("""() => Math.min(...[1, 2, 3, 4, 5].map((i) => {
          const begun = performance.now();
          point({ row: i, column: i });
          return performance.now() - begun;
        }))""")
        expect(took < 200, f"a move of the pointer over {tokens} tokens takes {took} ms")


def check(browser, scheme, width):
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    faults, requests = [], []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(url)
    page.fill("#source", sentence)
    page.press("#source", "Enter")
    page.wait_for_selector("#list button")
    expect(page.inner_text("#text") == translation, f"the text is {page.inner_text('#text')!r}, expected {translation!r}")
    expect(page.locator("#list button").count() == 4, "not four translations")
    expect(page.locator("#read span").count() > 0, "no tokens")
    # The pointer on a token marks others, and says what it sees.
    page.hover("#written span >> nth=0")
    expect(re.search(r"layer \d, mean of the heads: while it wrote", page.inner_text("#told")), page.inner_text("#told"))
    marked = page.eval_on_selector_all("#read span", "all => all.filter((one) => one.style.backgroundColor).length")
    expect(marked > 0, "nothing is marked")
    page.locator("#heads button").nth(2).click()
    page.locator("#map").scroll_into_view_if_needed()
    box = page.locator("#map").bounding_box()
    page.mouse.move(box["x"] + 90, box["y"] + 60)
    expect("layer 1, head 2" in page.inner_text("#told"), page.inner_text("#told"))
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    expect(overflow <= 0, f"{overflow} pixels are beyond the right edge at {width}")
    if folder:
        page.hover("#written span >> nth=0")
        page.screenshot(path=f"{folder}/{scheme}_{width}.png", full_page=True)
    # The pointer stays on a token while another sentence is asked for.
    page.hover("#written span >> nth=0")
    page.press("#source", "Enter")
    page.mouse.move(1, 1)
    page.locator("#list button").nth(3).wait_for()
    # Another translation, and text that is code.
    page.locator("#list button").nth(1).click()
    expect(page.inner_text("#text") == page.locator("#list button span").nth(2).inner_text(), "the second text")
    page.fill("#source", "<img src=x onerror=alert(1)>")
    page.click("#go")
    page.locator("#note").filter(has_text="unknown").wait_for()
    expect(page.locator("img").count() == 0, "text became code")
    note = page.inner_text("#note")
    page.locator("#list button").nth(1).click()
    expect(page.inner_text("#note") == note, f"the note is {page.inner_text('#note')!r}, expected {note!r}")
    expect(page.text_content("#spoken") == page.locator("#list button span").nth(0).inner_text(), "the text for a reader")
    check_long(page)
    expect(not faults, f"the browser says {faults}")
    page.fill("#source", "a " * 1900)
    page.click("#go")
    page.wait_for_selector("#error:not([hidden])")
    expect("too long" in page.inner_text("#error"), page.inner_text("#error"))
    expect(all(one.startswith((url, "data:")) for one in requests), f"the page asked for {requests}")
    page.close()


with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    for scheme in ("light", "dark"):
        for width in (1280, 360):
            check(browser, scheme, width)
    browser.close()
print("light and dark, 1280 and 360 pixels wide: all right")
