// The page in a real browser, over a saved snapshot: nothing axe objects to, no errors, every flow by keyboard.
// Environment: BROWSER is the program, SMALL and LARGE are addresses of the page over a small and a large snapshot.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import test, { after, before } from 'node:test';
import { chromium } from 'playwright-core';

const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const small = process.env.SMALL;
const large = process.env.LARGE;

let browser;
before(async () => {
  browser = await chromium.launch({ executablePath: process.env.BROWSER, args: ['--no-sandbox', '--disable-gpu'] });
});
after(() => browser.close());

/** Opens the page with a language and colours. Everything that the console says is in errors. */
async function open(address, { lang = 'en', theme = 'light', width = 1280, height = 800 } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, reducedMotion: 'reduce' });
  await context.addInitScript(
    ([l, t]) => {
      localStorage.setItem('shardscaler.lang', l);
      localStorage.setItem('shardscaler.theme', t);
    },
    [lang, theme],
  );
  const page = await context.newPage();
  const errors = [];
  const outside = [];
  // Find asks whether there is a resource, an instance or a node of a name: there is none is an answer, too.
  const asked = /\/(resource\?id=|instances\/\d+$|nodes\/)/;
  page.on('console', (m) => asked.test(m.location().url) || errors.push(`${m.text()} ${m.location().url}`));
  page.on('pageerror', (e) => errors.push(e.message));
  page.on('request', (r) => new URL(r.url()).host === new URL(address).host || outside.push(r.url()));
  await page.goto(address);
  await settled(page);
  return { page, errors, outside, close: () => context.close() };
}

/** Waits until nothing is loading. */
async function settled(page) {
  await page.waitForSelector('#title, .failed');
  await page.waitForFunction(() => !document.querySelector('.waiting'));
}

async function show(page, hash) {
  await page.evaluate((to) => (location.hash = to), hash);
  await settled(page);
}

const views = [
  '#/overview',
  '#/kinds/Thing/instances',
  '#/kinds/Thing/instances/1',
  '#/kinds/Thing/why',
  '#/find?q=1',
  '#/kinds/None/why',
];

for (const lang of ['en', 'zh']) {
  for (const theme of ['light', 'dark']) {
    test(`axe finds nothing: ${lang}, ${theme}`, async () => {
      const { page, errors, outside, close } = await open(small, { lang, theme });
      for (const view of views) {
        await show(page, view);
        await page.evaluate(axe);
        const found = await page.evaluate(async () => {
          const run = await globalThis.axe.run({ resultTypes: ['violations'] });
          return run.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html).join(' | ')}`);
        });
        assert.deepEqual(found, [], view);
        assert.notEqual(await page.title(), 'shardscaler', view);
      }
      assert.deepEqual(errors, []);
      assert.deepEqual(outside, []);
      await close();
    });
  }
}

for (const [name, options, zoom] of [
  ['320 pixels, long words', { lang: 'xx', width: 320 }, ''],
  ['320 pixels, Chinese', { lang: 'zh', width: 320 }, ''],
  ['letters twice as large', { lang: 'en', width: 1280 }, '200%'],
]) {
  test(`nothing is cut off: ${name}`, async () => {
    const { page, close } = await open(small, options);
    await page.evaluate((z) => (document.documentElement.style.fontSize = z), zoom);
    for (const view of views) {
      await show(page, view);
      assert.ok(
        await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth),
        `${view} scrolls sideways`,
      );
      const cut = await page.evaluate(() =>
        [...document.querySelectorAll('main :is(p, h1, h2, h3, dt, dd, li, button, label, a), header *')]
          .filter((e) => !e.closest('.rows, .scroll, .hidden, [popover], .bar') && e.scrollWidth > e.clientWidth + 1)
          .filter((e) => getComputedStyle(e).display !== 'inline' && getComputedStyle(e).overflow !== 'visible')
          .map((e) => e.outerHTML.slice(0, 120)),
      );
      assert.deepEqual(cut, [], view);
    }
    await close();
  });
}

const focused = (page) =>
  page.evaluate(() => document.activeElement?.textContent?.trim() || document.activeElement?.id || '');

/** Presses Tab until the focus is on what matches. */
async function tabTo(page, selector) {
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press('Tab');
    if (await page.evaluate((s) => document.activeElement?.matches(s) ?? false, selector)) return;
  }
  assert.fail(`Tab does not come to ${selector}`);
}

for (const lang of ['en', 'zh']) {
  test(`by keyboard alone: ${lang}`, async () => {
    const { page, errors, close } = await open(small, { lang });
    await page.keyboard.press('Tab');
    assert.ok(
      await page.evaluate(
        () => document.activeElement.matches('.skip') && document.activeElement.getBoundingClientRect().top >= 0,
      ),
    );
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'title');

    await tabTo(page, '.num'); // a number says where it comes from
    await page.keyboard.press('Enter');
    await page.waitForSelector('.panel:popover-open');
    assert.ok(
      await page.evaluate(
        () => document.querySelector('.panel:popover-open').getBoundingClientRect().right <= innerWidth,
      ),
    );
    await page.keyboard.press('Escape');
    assert.equal(await page.locator('.panel:popover-open').count(), 0);
    assert.ok(await page.evaluate(() => document.activeElement.matches('.num')));

    await page.reload();
    await settled(page);
    await tabTo(page, 'nav a[href$="/instances"]');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.rows');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'title', 'the new view has the focus');

    await tabTo(page, 'input[type=search]');
    await page.keyboard.type('no such pod');
    await page.waitForSelector('.empty');
    assert.match(page.url(), /text=no/);
    for (let i = 0; i < 11; i++) await page.keyboard.press('Backspace');
    await page.waitForSelector('.rows');

    await tabTo(page, '.rows tbody a');
    const first = await focused(page);
    await page.keyboard.press('ArrowDown');
    await page.waitForFunction((f) => document.activeElement.textContent.trim() !== f, first);
    const second = await focused(page);
    await page.keyboard.press('Enter');
    await page.waitForSelector('.facts');
    assert.match(page.url(), new RegExp(`/instances/${second}$`));
    await page.goBack();
    await page.waitForSelector('.rows');

    await tabTo(page, 'nav a[href="#/find"]');
    await page.keyboard.press('Enter');
    await tabTo(page, 'input[type=search]');
    await page.keyboard.type('0');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.hits');
    assert.deepEqual(errors, []);
    await close();
  });
}

test('of 2,000 instances at most 200 rows are in the document, and all can be come to', async () => {
  const { page, errors, close } = await open(large + '#/kinds/Thing/instances');
  const rows = () =>
    page.evaluate(() => ({
      rows: document.querySelectorAll('tr').length,
      of: document.querySelector('table').ariaRowCount,
    }));
  assert.deepEqual((await rows()).of, '2001');
  assert.ok((await rows()).rows <= 200);
  await tabTo(page, '.rows tbody a');
  await page.keyboard.press('End');
  await page.waitForFunction(() => document.activeElement.textContent.trim() === '1999');
  assert.ok((await rows()).rows <= 200);
  assert.ok(
    await page.evaluate(() => {
      const [box, row] = [
        document.querySelector('.rows').getBoundingClientRect(),
        document.activeElement.getBoundingClientRect(),
      ];
      return row.top >= box.top && row.bottom <= box.bottom + 1;
    }),
    'what has the focus is seen',
  );
  await page.fill('input[type=search]', '1234');
  await page.waitForFunction(() => document.querySelectorAll('.rows tbody a').length === 1);
  assert.deepEqual(errors, []);
  await close();
});
