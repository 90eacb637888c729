// What the tests in a browser have in common.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { after, before } from 'node:test';
import { chromium } from 'playwright-core';

const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const args = ['--no-sandbox', '--disable-gpu'];
// The hash of a certificate's key that counts as trusted, in workers too, where ignoreHTTPSErrors does not reach.
if (process.env.TRUSTED) args.push(`--ignore-certificate-errors-spki-list=${process.env.TRUSTED}`);

let browser;
before(async () => {
  browser = await chromium.launch({ executablePath: process.env.BROWSER, args });
});
after(() => browser.close());

/** Opens a context with a language and colours. */
export async function context({ lang = 'en', theme = 'light', width = 1280, height = 800 } = {}) {
  const made = await browser.newContext({ viewport: { width, height }, reducedMotion: 'reduce', timezoneId: 'UTC' });
  await made.addInitScript(
    ([l, t]) => {
      localStorage.setItem('shardscaler.lang', l);
      localStorage.setItem('shardscaler.theme', t);
    },
    [lang, theme],
  );
  return made;
}

/** Opens the page. What the console says is in errors, what is asked of other servers in outside. */
export async function open(address, options = {}, made = undefined) {
  const within = made ?? (await context(options));
  const page = await within.newPage();
  page.setDefaultTimeout(60_000); // on a machine that does much else; it bounds failures alone
  const errors = [];
  const outside = [];
  page.on('console', (m) => errors.push(`${m.text()} ${m.location().url}`));
  page.on('pageerror', (e) => errors.push(e.message));
  page.on('request', (r) => new URL(r.url()).host === new URL(address).host || outside.push(r.url()));
  await page.goto(address);
  await settled(page);
  return { page, errors, outside, close: () => within.close() };
}

/** Waits until nothing is loading. */
export async function settled(page) {
  await page.waitForSelector('#title, .failed');
  await page.waitForFunction(() => !document.querySelector('.waiting'));
}

/** Goes to a view. */
export async function show(page, hash) {
  await page.evaluate((to) => (location.hash = to), hash);
  await settled(page);
}

/** Fails on what axe finds. */
export async function accessible(page, where) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const run = await globalThis.axe.run({ resultTypes: ['violations'] });
    return run.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html).join(' | ')}`);
  });
  assert.deepEqual(found, [], where);
}

/**
 * Fails where the page in Chinese shows three Latin words in a row, in a text or in what a listener is told. Lines to type
 * and queries may be so, and what others said, which is marked as theirs: others says whether they did.
 */
export async function inChinese(page, where, others = () => false) {
  const { quoted, left } = await page.evaluate(() => {
    const words = /\p{Script=Latin}{2,}[,:;]? \p{Script=Latin}{2,}[,:;]? \p{Script=Latin}{2,}/u;
    const left = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let n = walk.nextNode(); n; n = walk.nextNode())
      if (
        !n.parentElement.closest('script, style, noscript, q[lang="en"], code') &&
        words.test(n.data) &&
        !n.data.startsWith('SELECT ')
      )
        left.push(n.data);
    for (const e of document.querySelectorAll('[aria-label], [title], [placeholder]'))
      for (const name of ['aria-label', 'title', 'placeholder'])
        if (words.test(e.getAttribute(name) ?? '')) left.push(e.getAttribute(name));
    for (const e of document.querySelectorAll('[lang="en"]:not(q, option)')) left.push(e.textContent);
    return { quoted: [...document.querySelectorAll('q[lang="en"]')].map((q) => q.textContent), left };
  });
  assert.deepEqual(left, [], where);
  assert.deepEqual(
    quoted.filter((q) => !others(q)),
    [],
    `${where}: what our own server says stands as others' words`,
  );
}

/** Fails where something is cut off or the page scrolls sideways. */
export async function fits(page, where) {
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${where} scrolls sideways`);
  const cut = await page.evaluate(() =>
    [...document.querySelectorAll('main :is(p, h1, h2, h3, dt, dd, li, button, label, a), header *')]
      .filter((e) => !e.closest('.rows, .scroll, .hidden, [popover], .bar') && e.scrollWidth > e.clientWidth + 1)
      .filter((e) => getComputedStyle(e).display !== 'inline' && getComputedStyle(e).overflow !== 'visible')
      .map((e) => e.outerHTML.slice(0, 120)),
  );
  assert.deepEqual(cut, [], where);
}

/** Presses Tab until the focus is on what matches. */
export async function tabTo(page, selector) {
  for (let i = 0; i < 80; i++) {
    await page.keyboard.press('Tab');
    if (await page.evaluate((s) => document.activeElement?.matches(s) ?? false, selector)) return;
  }
  assert.fail(`Tab does not come to ${selector}`);
}
