// The page of a running server in a real browser: what it shows moves, and what is asked for is done.
// running.mjs walks the flows on the real product. Environment: BROWSER is the program, SERVER the server.
import assert from 'node:assert/strict';
import test from 'node:test';
import { accessible, context, fits, inChinese, open, settled, show, tabTo } from './open.mjs';

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

test('every view of what moves speaks Chinese', async () => {
  const { page, errors, close } = await open(page0, { lang: 'zh' });
  for (const view of views) {
    await show(page, view);
    await inChinese(page, view);
  }
  for (const size of ['32', '101']) {
    await show(page, `#/kinds/Thing/rebalance?what=size&size=${size}`);
    await page.click('form button[type=submit]');
    await page.waitForSelector(size === '32' ? '.plan' : '.failed');
    await inChinese(page, `a plan for ${size}`);
  }
  assert.match(await page.textContent('.failed'), /必须在 3 与 90 之间/);
  assert.equal(errors.length, 1, 'that of the browser, on the refused preview');
  await close();
});

test('nothing is cut off in what moves', async () => {
  const { page, close } = await open(page0, { lang: 'xx', width: 320 });
  for (const view of views) {
    await show(page, view);
    await fits(page, view);
  }
  await close();
});

for (const [what, apart] of [
  ['a day', 0],
  ['two minutes', 10],
]) {
  test(`the times below the chart of ${what} are apart and differ`, async () => {
    const made = await context();
    await made.addInitScript(() => {
      window.drawn = [];
      const fill = CanvasRenderingContext2D.prototype.fillText;
      CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
        const width = this.measureText(text).width;
        if (/:/.test(text)) window.drawn.push({ text, x: this.getTransform().e + x, width });
        return fill.call(this, text, x, y);
      };
    });
    await made.route(/kinds\/Thing\/history/, async (route) => {
      const answer = await route.fetch();
      const doc = await answer.json();
      if (apart) {
        const newest = Date.parse(doc.items[0].at);
        doc.items = doc.items
          .slice(0, 12)
          .map((e, i) => ({ ...e, at: new Date(newest - i * apart * 1000).toISOString() }));
      }
      await route.fulfill({ response: answer, json: doc });
    });
    const { page, close } = await open(page0 + '#/kinds/Thing/timeline', {}, made);
    await page.waitForFunction(() => window.drawn.length > 0);
    const drawn = await page.evaluate(() => window.drawn);
    const once = drawn.slice(drawn.findLastIndex((d, i) => i === 0 || d.x <= drawn[i - 1].x)); // the latest drawing
    for (let i = 1; i < once.length; i++) {
      assert.notEqual(once[i].text, once[i - 1].text);
      assert.ok(once[i].x - once[i - 1].x > once[i].width, `${once[i - 1].text} and ${once[i].text} overlap`);
    }
    await close();
  });
}
const streams = async () => parseInt((await said())[0], 10);
/** A browser without shared workers, as Chrome on Android. */
async function phone() {
  const made = await context();
  await made.addInitScript(() => delete globalThis.SharedWorker);
  return made;
}
const moves = async (page) => {
  const held = await page.textContent('.rows tbody td.held');
  await page.waitForFunction((h) => document.querySelector('.rows tbody td.held').textContent !== h, held);
};

test('three tabs share one stream, and what they show moves', async () => {
  const before = await streams();
  const made = await context();
  const tabs = [];
  for (let i = 0; i < 3; i++) tabs.push((await open(page0 + '#/kinds/Thing/instances', {}, made)).page);
  await Promise.all(tabs.map(moves));
  assert.equal((await streams()) - before, 1);
  await made.close();
});

test('three tabs of a browser without shared workers share one stream, which the next has when its tab is closed', async () => {
  const before = await streams();
  const made = await phone();
  const tabs = [];
  for (let i = 0; i < 3; i++) tabs.push((await open(page0 + '#/kinds/Thing/instances', {}, made)).page);
  await Promise.all(tabs.map(moves));
  assert.equal((await streams()) - before, 1);
  const [first, ...rest] = tabs;
  await first.close();
  await Promise.all(rest.map(moves));
  await Promise.all(rest.map(moves)); // the first may still have been on its way
  assert.equal((await streams()) - before, 2);
  await show(rest[1], '#/overview');
  await show(rest[1], '#/kinds/Thing/instances');
  await moves(rest[1]);
  await made.close();
});

test('a tab without shared workers that hears nothing has a stream of its own', async () => {
  const made = await phone();
  const mute = await made.newPage();
  await mute.goto(server + '/said');
  await mute.evaluate(() => void navigator.locks.request('shardscaler', () => new Promise(() => {})));
  await made.addInitScript(() => {
    const real = globalThis.setTimeout;
    globalThis.setTimeout = (f, ms, ...args) => real(f, ms === 60_000 ? 500 : ms, ...args);
  });
  const { page } = await open(page0 + '#/kinds/Thing/instances', {}, made);
  await moves(page);
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

const pressed = 'main :is(a[href], button, input, select, summary):visible';
/** What brings the pointer or the focus to a control. */
const holds = {
  pointer: (_, control) => control.hover(),
  focus: async (page, control) => {
    await page.keyboard.press('Shift');
    await control.focus();
  },
};

/** Has the server show n times as much, and waits until the pages do. Of 1 they show no moves, and 0 is as at first. */
async function much(n, pages) {
  const response = await fetch(`${server}/much?n=${n}`, { method: 'POST' });
  assert.ok(response.ok);
  const marks = {
    moves: { 0: 'Moves: 40 of 100,', 1: '' }[n] ?? `Moves: ${n}00 of ${n},000,`,
    change: await response.text(), // who made it
  };
  const drawn = ({ moves, change }) => {
    const seen = document.querySelector('main').innerText;
    if (location.hash.includes('timeline')) return seen.includes(change);
    return moves ? seen.includes(moves) : !seen.includes('Moves: ');
  };
  await Promise.all(pages.map((page) => page.waitForFunction(drawn, marks)));
}

for (const [view, least] of [
  ['#/overview', 9],
  ['#/kinds/Thing/rebalance?what=size&size=32', 9],
  ['#/kinds/Thing/timeline', 2],
]) {
  test(`updates leave where it is what the pointer or the focus is on: ${view}`, async () => {
    const made = await context({ height: 500 });
    const another = async () => (await open(page0 + view, {}, made)).page;
    const free = await another();
    const count = await free.locator(pressed).count();
    assert.ok(count >= least, `${count} controls`);
    const pages = await Promise.all(Array.from({ length: count }, another));
    const control = (page, i) => page.locator(pressed).nth(i).elementHandle();
    const place = (handle) =>
      handle.evaluate((e) => {
        const { left, top } = e.getBoundingClientRect();
        return { what: e.outerHTML, there: e.isConnected, left, top };
      });
    try {
      for (const [how, hold] of Object.entries(holds)) {
        const loose = await control(free, count - 1);
        const controls = await Promise.all(pages.map(control));
        await Promise.all(controls.map((c, i) => hold(pages[i], c)));
        const [wasLoose, ...was] = await Promise.all([loose, ...controls].map(place));
        for (const n of [3, 1, 0]) {
          await much(n, [free, ...pages]);
          const [isLoose, ...is] = await Promise.all([loose, ...controls].map(place));
          if (n === 3) assert.notEqual(isLoose.top, wasLoose.top, 'it moves otherwise');
          for (const [i, { what, there, left, top }] of is.entries())
            if (there || n === 3)
              assert.deepEqual({ left, top }, { left: was[i].left, top: was[i].top }, `${how}, ${n}: ${what}`);
        }
      }
    } finally {
      await much(0, [free]);
    }
    await made.close();
  });
}

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
    await dialog('section[aria-labelledby=running] .buttons button:nth-child(3)');
    await dialog('section[aria-labelledby=deletes] button');
    await page.waitForFunction(([s, was]) => document.querySelector(s).textContent !== was, [first, pause]);
    await dialog(first);
    await dialog('section[aria-labelledby=running] .buttons button:nth-child(2)');

    await page.focus('#title');
    await tabTo(page, 'section[aria-labelledby=preview] select');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await tabTo(page, 'input[type=number]');
    await page.keyboard.type('320');
    await page.keyboard.press('Enter');
    await page.waitForSelector('section[aria-labelledby=preview] .failed');
    assert.match(await page.textContent('.failed'), lang === 'zh' ? /3 与 90 之间/ : /between 3 and 90/);
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

test('a question that is asked at the very end of another one stays', async () => {
  const { page, close } = await open(page0 + '#/kinds/Thing/rebalance');
  const wake = 'section[aria-labelledby=running] .buttons button:nth-child(2)';
  await page.click(wake);
  await page.waitForSelector('dialog[open]');
  await page.evaluate((button) => {
    const ending = document.querySelector('dialog');
    new MutationObserver((_, observer) => {
      observer.disconnect();
      document.querySelector(button).click();
    }).observe(ending, { attributes: true });
  }, wake);
  await page.click('dialog .buttons button:nth-child(1)');
  await page.waitForTimeout(300);
  assert.equal(await page.locator('dialog[open]').count(), 1);
  await close();
});

/** What a person types into the form of each change, and what the server is asked. */
const changes = [
  ['drain', ['7', '2h'], '{"drain":7,"for":"2h"}'],
  ['undrain', ['5'], '{"undrain":5}'],
  ['endSize', [], '{"endSize":true}'],
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

test('each row of the timeline can be come to by keyboard', async () => {
  const { page, errors, close } = await open(page0 + '#/kinds/Thing/timeline');
  await page.waitForSelector('section[aria-labelledby=events] tbody tr');
  await tabTo(page, 'section[aria-labelledby=events] select');
  await page.keyboard.press('ArrowDown'); // the samples
  const rows = () => page.locator('section[aria-labelledby=events] tbody tr').count();
  const times = async () =>
    page.locator('section[aria-labelledby=events] tbody time').evaluateAll((all) => all.map((e) => e.dateTime));
  const seen = [];
  const [newer, older] = [1, 2].map((n) => `section[aria-labelledby=events] .buttons button:nth-child(${n})`);
  for (const want of [50, 50, 43]) {
    await page.waitForFunction(
      ([n, before]) => {
        const all = [...document.querySelectorAll('section[aria-labelledby=events] tbody time')];
        return all.length === n && all[0].dateTime !== before;
      },
      [want, seen[seen.length - 50] ?? ''],
    );
    seen.push(...(await times()));
    await tabTo(page, older);
    await page.keyboard.press('Enter');
  }
  assert.equal(new Set(seen).size, 143);
  assert.deepEqual(seen, [...seen].sort().reverse(), 'the newest first');
  assert.equal(await rows(), 43, 'there is nothing older');
  assert.equal(await page.getAttribute(older, 'aria-disabled'), 'true');
  await tabTo(page, newer);
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('section[aria-labelledby=events] tbody tr').length === 50);
  assert.deepEqual(errors, []);
  await close();
});

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
  const { page, errors, close } = await open(page0, {}, made);
  await page.waitForSelector('.standing.warn');
  assert.match(await page.textContent('.standing.warn'), /ends in [89] min/);
  await made.addCookies([{ name: 'session', value: 'none', url: server }]);
  await page.focus('#title');
  await page.click('.standing.warn a');
  await page.reload();
  await page.waitForSelector('.stranger');
  assert.match(await page.textContent('.stranger'), /^You are not signed in\. .*kubectl -n iota create token/);
  await accessible(page, 'sign in');
  await tabTo(page, 'input[type=password]');
  await page.keyboard.type('the-token');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => !document.querySelector('.stranger'));
  assert.ok((await said()).includes('signed in by Bearer the-token'));
  assert.deepEqual(errors, []);
  await close();
});

test('Find finds what there is, fails for nothing, and keeps what is typed while it begins', async () => {
  const { page, errors, close } = await open(page0 + '#/overview');
  await page.evaluate(() => {
    const seen = new MutationObserver(() => {
      const input = document.querySelector('input[type=search]');
      if (!input || input.value) return;
      seen.disconnect();
      input.value = 'a/b%ü'; // before the page has painted what it has just made
      input.dispatchEvent(new Event('input', { bubbles: true }));
    });
    seen.observe(document.body, { childList: true, subtree: true });
    location.hash = '#/find';
  });
  await page.waitForSelector('input[type=search]');
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50))));
  assert.equal(await page.inputValue('input[type=search]'), 'a/b%ü');
  const find = async (q) => {
    await page.fill('input[type=search]', q);
    await page.keyboard.press('Enter');
    await page.waitForFunction((text) => new URLSearchParams(location.hash.split('?')[1]).get('q') === text, q);
    await page.waitForSelector('main [aria-live=polite]');
    await settled(page);
    return page.textContent('main [aria-live=polite]');
  };
  assert.match(await find('a/b%ü'), /It came there .* ago\. To spread the load\..*a\/b%ü2/s);
  assert.match(await find('b%ü'), /^Resources whose id contains it/);
  assert.match(await find('3'), /Thing, instance 3/);
  assert.match(await find('iota-dac-3'), /Thing, instance 3/);
  assert.match(await find('node-0'), /On node node-0.*Thing, instance 3/s);
  assert.match(await find('no-such-999'), /Nothing is called “no-such-999”/);
  assert.deepEqual(errors, []);
  await close();
});
