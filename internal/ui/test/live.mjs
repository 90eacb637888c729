// The page of a running server in a real browser: what it shows moves, and what is asked for is done.
// running.mjs walks the flows on the real product. Environment: BROWSER is the program, SERVER the server.
import assert from 'node:assert/strict';
import test from 'node:test';
import { accessible, context, fits, open, show, tabTo } from './open.mjs';

const { SERVER: server } = process.env;
const page0 = server + '/ui/';
const said = async () => (await (await fetch(server + '/said')).text()).trim().split('\n');

const views = [
  '#/overview',
  '#/kinds/Thing/instances',
  '#/kinds/Thing/timeline',
  '#/kinds/Thing/why/decision1431',
  '#/kinds/Thing/rebalance?what=size&size=32',
  '#/kinds/Thing/instances/4',
  '#/kinds/Thing/config',
  '#/find?q=a%2Fb%25%C3%BC',
];

for (const [lang, theme] of [
  ['en', 'light'],
  ['zh', 'dark'],
]) {
  test(`axe finds nothing in what moves: ${lang}, ${theme}`, async () => {
    const { page, errors, outside, close } = await open(page0, { lang, theme });
    for (const view of views) {
      await show(page, view);
      if (view.includes('size')) {
        await page.click('form button[type=submit]');
        await page.waitForSelector('.plan');
        await accessible(page, 'a plan');
        await page.click('section .primary');
        await page.waitForSelector('dialog[open]');
        await accessible(page, 'a dialog');
        await page.keyboard.press('Escape');
      }
      await accessible(page, view);
    }
    assert.equal(
      await page.locator('.card .id').count(),
      1,
      'the id with a slash, a percent sign and an umlaut is found',
    );
    assert.deepEqual(errors, []);
    assert.deepEqual(outside, []);
    await close();
  });
}

test('nothing is cut off in what moves', async () => {
  const { page, close } = await open(page0, { lang: 'xx', width: 320 });
  for (const view of views) {
    await show(page, view);
    await fits(page, view);
  }
  await close();
});

test('three tabs share one stream, and what they show moves', async () => {
  const streams = async () => parseInt((await said())[0], 10);
  const before = await streams();
  const made = await context();
  const tabs = [];
  for (let i = 0; i < 3; i++) tabs.push((await open(page0 + '#/kinds/Thing/instances', {}, made)).page);
  for (const page of tabs) {
    const held = await page.textContent('.rows tbody td.held');
    await page.waitForFunction((h) => document.querySelector('.rows tbody td.held').textContent !== h, held);
  }
  assert.equal((await streams()) - before, 1);
  await made.close();
});

test('updates move no row that the pointer or the focus is on', async () => {
  const { page, close } = await open(page0 + '#/kinds/Thing/instances?sort=held&down=1');
  const order = () =>
    page.evaluate(() =>
      [...document.querySelectorAll('.rows tbody a')]
        .slice(0, 8)
        .map((a) => a.textContent)
        .join(),
    );
  const changed = async (from) =>
    page.waitForFunction(
      (f) =>
        [...document.querySelectorAll('.rows tbody a')]
          .slice(0, 8)
          .map((a) => a.textContent)
          .join() !== f,
      from,
    );
  await changed(await order()); // it does move otherwise
  for (const [hold, leave] of [
    [() => page.hover('.rows tbody tr:nth-child(3)'), () => page.mouse.move(5, 5)],
    [() => page.focus('.rows tbody a[tabindex="0"]'), () => page.evaluate(() => document.activeElement.blur())],
  ]) {
    await hold();
    const [held, values] = [await order(), await page.textContent('.rows tbody')];
    await page.waitForFunction((v) => document.querySelector('.rows tbody').textContent !== v, values); // values do
    await page.waitForTimeout(1500);
    assert.equal(await order(), held);
    await leave();
    await changed(held);
  }
  await close();
});

for (const lang of ['zh']) {
  test(`what is asked for by keyboard is done: ${lang}`, async () => {
    const { page, errors, close } = await open(page0 + '#/kinds/Thing/rebalance', { lang });
    const from = (await said()).length;
    const dialog = async (selector) => {
      await page.focus('#title');
      await tabTo(page, selector);
      await page.keyboard.press('Enter');
      await page.waitForSelector('dialog[open]');
      await tabTo(page, 'dialog .primary');
      await page.keyboard.press('Enter');
      await page.waitForFunction(() => !document.querySelector('dialog[open]'));
      assert.notEqual((await page.textContent('main [role=status]')).trim(), '');
    };
    const first = 'section[aria-labelledby=running] .buttons button:nth-child(1)'; // Pause, then Resume
    const pause = await page.textContent(first);
    await dialog(first);
    await dialog('section[aria-labelledby=running] .buttons button:nth-child(2)');
    await dialog('section[aria-labelledby=deletes] button');
    await page.waitForFunction(([s, was]) => document.querySelector(s).textContent !== was, [first, pause]);
    await dialog(first);
    await dialog('section[aria-labelledby=running] .buttons button:nth-child(3)');

    await page.focus('#title');
    await tabTo(page, 'section[aria-labelledby=preview] select');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await tabTo(page, 'input[type=number]');
    await page.keyboard.type('320');
    await page.keyboard.press('Enter');
    await page.waitForSelector('section[aria-labelledby=preview] .failed');
    assert.match(await page.textContent('.failed'), /at most 100/);
    await page.keyboard.press('Backspace');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.plan');
    await dialog('section[aria-labelledby=preview] .primary');
    assert.deepEqual((await said()).slice(from), [
      '{"paused":true} by ann',
      'rollback',
      'confirm 120 of set 2',
      '{"paused":false} by ann',
      '{} by ann',
      'preview {"size":32}',
      'apply plan-1 by ann',
    ]);
    assert.deepEqual(
      errors.filter((e) => !/422/.test(e)),
      [],
    );
    await close();
  });
}

/** What a person types into the form of each change, and what the server is asked. */
const changes = [
  ['drain', ['7', '2h'], '{"drain":7,"for":"2h"}'],
  ['undrain', ['5'], '{"undrain":5}'],
  ['move', ['a/b%ü', '9'], '{"move":{"resource":"a/b%ü","instance":9}}'],
  ['pin', ['a/b%ü', '9', '30m'], '{"pin":{"resource":"a/b%ü","instance":9},"for":"30m"}'],
  ['limits', ['40', '4000'], '{"capacity":4000,"maxInstances":40}'],
  ['spread', [], '{}'],
];

for (const lang of ['en', 'zh']) {
  test(`each change is previewed and applied by keyboard: ${lang}`, async () => {
    const { page, errors, close } = await open(page0 + '#/kinds/Thing/rebalance', { lang });
    for (const [what, typed, asked] of changes) {
      const from = (await said()).length;
      await show(page, `#/kinds/Thing/rebalance?what=${what}`);
      await page.focus('section[aria-labelledby=preview] select');
      for (const text of typed) {
        await page.keyboard.press('Tab');
        await page.keyboard.type(text);
      }
      if (typed.length === 0) await tabTo(page, 'form button[type=submit]');
      await page.keyboard.press('Enter');
      await page.waitForSelector('table.plan');
      await tabTo(page, 'section[aria-labelledby=preview] .primary');
      await page.keyboard.press('Enter');
      await page.waitForSelector('dialog[open]');
      assert.ok(!/[{}]/.test(await page.textContent('dialog')), what);
      for (const text of typed.slice(0, 2)) {
        if (!/[hm]$/.test(text)) assert.ok((await page.textContent('dialog')).includes(text), `${what} ${text}`);
      }
      await tabTo(page, 'dialog .primary');
      await page.keyboard.press('Enter');
      await page.waitForFunction(() => !document.querySelector('dialog[open]'));
      assert.deepEqual((await said()).slice(from), [`preview ${asked}`, 'apply plan-1 by ann']);
    }
    assert.deepEqual(errors, []);
    await close();
  });

  test(`a pod is assumed dead only by one who has ticked that it is: ${lang}`, async () => {
    const { page, errors, close } = await open(page0 + '#/kinds/Thing/instances/3', { lang });
    await page.waitForSelector('.facts');
    assert.equal(await page.locator('.grave').count(), 0, 'of one that lives it is not asked');
    await show(page, '#/kinds/Thing/instances/4');
    await page.waitForSelector('.grave');
    const from = (await said()).length;
    await tabTo(page, '.grave button');
    await page.keyboard.press('Enter');
    await page.waitForSelector('dialog[open]');
    assert.match(await page.textContent('dialog'), /iota-dac-4/);
    await accessible(page, 'the grave dialog');
    await tabTo(page, 'dialog .primary');
    await page.keyboard.press('Enter');
    assert.equal(await page.getAttribute('dialog .primary', 'aria-disabled'), 'true');
    assert.equal((await said()).length, from, 'nothing is asked for yet');
    await tabTo(page, 'dialog input[type=checkbox]');
    await page.keyboard.press('Space');
    await tabTo(page, 'dialog .primary');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => !document.querySelector('dialog[open]'));
    assert.deepEqual((await said()).slice(from), ['reassign 4 by ann']);
    assert.match(await page.textContent('.grave [role=status]'), /320/);
    assert.ok(await page.evaluate(() => document.activeElement.matches('.grave button')), 'the focus is back');
    assert.deepEqual(errors, []);
    await close();
  });

  test(`each value of the configuration says where it comes from: ${lang}`, async () => {
    const { page, errors, close } = await open(page0 + '#/overview', { lang });
    await tabTo(page, 'nav a[href$="/config"]');
    await page.keyboard.press('Enter');
    await page.waitForSelector('main tbody tr');
    const all = await page.locator('main tbody tr').count();
    assert.ok(all > 20, `${all} values`);
    await tabTo(page, 'main select');
    await page.keyboard.press('ArrowDown');
    await page.waitForFunction(() => document.querySelectorAll('main tbody tr').length === 1);
    assert.match(page.url(), /source=override/);
    const row = await page.textContent('main tbody tr');
    for (const part of ['max', '90', '100', 'bob']) assert.ok(row.includes(part), `${part} in ${row}`);
    assert.deepEqual(errors, []);
    await close();
  });
}

test('what a person has put over the configuration is ended by keyboard', async () => {
  const { page, errors, close } = await open(page0 + '#/kinds/Thing/rebalance');
  const from = (await said()).length;
  await tabTo(page, 'section[aria-labelledby=standing] button');
  await page.keyboard.press('Enter');
  await page.waitForSelector('dialog[open]');
  await tabTo(page, 'dialog .primary');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => !document.querySelector('dialog[open]'));
  assert.deepEqual((await said()).slice(from), ['{"undrain":5} by ann']);
  await page.waitForFunction(() => document.querySelectorAll('section[aria-labelledby=standing] button').length === 0);
  assert.deepEqual(errors, []);
  await close();
});

test('a session that ends says so ten minutes before, and a token makes a new one', async () => {
  const made = await context({ lang: 'en' });
  await made.addCookies([{ name: 'session', value: 'short', url: server }]);
  const { page, close } = await open(page0, {}, made);
  await page.waitForSelector('.standing.warn');
  assert.match(await page.textContent('.standing.warn'), /ends in [89] min/);
  await made.addCookies([{ name: 'session', value: 'none', url: server }]);
  await page.focus('#title');
  await page.click('.standing.warn a');
  await page.reload();
  await page.waitForSelector('.failed');
  assert.match(await page.textContent('.failed'), /kubectl create token/);
  await accessible(page, 'sign in');
  await tabTo(page, 'input[type=password]');
  await page.keyboard.type('the-token');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => !document.querySelector('.failed'));
  assert.ok((await said()).includes('signed in by Bearer the-token'));
  await close();
});
