// The page in a real browser, over a saved snapshot: nothing axe objects to, no errors, every flow by keyboard.
// Environment: BROWSER is the program, SMALL and LARGE are addresses of the page over a small and a large snapshot, and
// SNAPSHOTS of others, by the file of each.
import assert from 'node:assert/strict';
import test from 'node:test';
import fs from 'node:fs';
import { accessible, fits, inChinese, open, settled, show, tabTo } from './open.mjs';

const small = process.env.SMALL;
const large = process.env.LARGE;

const views = [
  '#/overview',
  '#/kinds/Thing/instances',
  '#/kinds/Thing/instances/1',
  '#/kinds/Thing/why',
  '#/kinds/Thing/config',
  '#/find?q=1',
  '#/kinds/None/why',
];

for (const lang of ['en', 'zh']) {
  for (const theme of ['light', 'dark']) {
    test(`axe finds nothing: ${lang}, ${theme}`, async () => {
      const { page, errors, outside, close } = await open(small, { lang, theme });
      for (const view of views) {
        await show(page, view);
        await accessible(page, view);
        assert.notEqual(await page.title(), 'shardscaler', view);
      }
      assert.deepEqual(errors, []);
      assert.deepEqual(outside, []);
      await close();
    });
  }
}

test('the colours are those that were chosen, else those of the system', async () => {
  const { page, close } = await open(small + '#/kinds/Thing/instances', { theme: 'dark' });
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(await ground(), 'rgb(16, 21, 27)', 'as chosen before');
  for (const [theme, system, dark] of [
    ['dark', 'light', true],
    ['auto', 'light', false],
    ['auto', 'dark', true],
    ['light', 'dark', false],
  ]) {
    await page.emulateMedia({ colorScheme: system });
    await page.selectOption('.choices label:nth-child(2) select', theme);
    const [wanted, track] = dark ? ['rgb(16, 21, 27)', '42,51,62'] : ['rgb(246, 247, 249)', '230,234,239'];
    assert.equal(await ground(), wanted, `${theme} on a ${system} system`);
    await page.waitForFunction((shade) => {
      const drawn = document.querySelector('.strip canvas').getContext('2d').getImageData(1, 6, 1, 1).data;
      return [...drawn.slice(0, 3)].join() === shade;
    }, track);
  }
  await close();
});

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
      await fits(page, view);
    }
    await close();
  });
}

test('every view of a snapshot speaks Chinese', async () => {
  const all = Object.entries(JSON.parse(process.env.SNAPSHOTS)).map(([file, address]) => [
    fs.readFileSync(file, 'utf8'),
    address,
  ]);
  assert.ok(all.length > 1);
  for (const [text, address] of [['metrics.k8s.io is not served', small], ...all]) {
    const others = (said) => text.includes(said);
    const { page, errors, close } = await open(address, { lang: 'zh' });
    const { items } = await (await fetch(new URL('../v1/api/kinds', address))).json();
    assert.ok(items.length > 0);
    for (const { name } of items) {
      const those = await (
        await fetch(new URL(`../v1/api/kinds/${name}/instances?limit=${address === small ? 6 : 2}`, address))
      ).json();
      for (const view of ['instances', 'why', ...those.items.map((i) => `instances/${i.ordinal}`)]) {
        await show(page, `#/kinds/${name}/${view}`);
        await inChinese(page, `${address} ${name}/${view}`, others);
      }
    }
    for (const view of ['#/overview', '#/find?q=1', '#/kinds/None/why']) {
      await show(page, view);
      await inChinese(page, `${address} ${view}`, others);
    }
    assert.deepEqual(errors, []);
    await close();
  }
});

const focused = (page) =>
  page.evaluate(() => document.activeElement?.textContent?.trim() || document.activeElement?.id || '');

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
    await page.waitForSelector('form[role=search] [type=submit]'); // the view before has a search of its own
    await tabTo(page, 'input[type=search]');
    await page.keyboard.type('0');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.hits');
    assert.deepEqual(errors, []);
    await close();
  });
}

test('a snapshot says where the values of its configuration come from, or that an older build has left that out', async () => {
  const now = await open(small + '#/kinds/Thing/config');
  await now.page.waitForSelector('main tbody tr');
  assert.match(await now.page.textContent('main tbody tr.over'), /^max.*97.*ann/s);
  assert.deepEqual(now.errors, []);
  await now.close();
  for (const [lang, words] of [
    ['en', /not in this file/],
    ['zh', /此文件中没有/],
  ]) {
    const { page, close } = await open(large + '#/kinds/Thing/config', { lang });
    await page.waitForSelector('main .empty');
    assert.match(await page.textContent('main .empty'), words);
    await close();
  }
});

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

test('a kind without heartbeat has no lag, and not one that is not known', async () => {
  const { page, errors, close } = await open(small + '#/overview');
  const lag = (kind) => page.locator(`section[aria-labelledby=kind-${kind}] dt`).filter({ hasText: 'Worst lag' });
  await lag('Thing').waitFor();
  assert.equal(await lag('Rule').count(), 0);
  assert.deepEqual(errors, []);
  await close();
});
