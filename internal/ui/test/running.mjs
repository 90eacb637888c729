// The page of the real product in a real browser, in both languages: what it says is compared with what ZooKeeper and
// the StatefulSet hold, and what is asked for there happens. Each flow is walked in both languages up to the question
// whether it is meant; one of them says yes.
// Environment: BROWSER is the program, PAGE the address that `kubectl shardscaler ui` prints, DOOR the server's own
// address and TRUSTED its certificate, TOKEN and USER an operator's, WORLD says what there is and does what a page cannot.
import assert from 'node:assert/strict';
import test from 'node:test';
import { runnerImport } from 'vite';
import { accessible, open, settled, show } from './open.mjs';

const { PAGE: address, DOOR: door, TOKEN: token, USER: user, WORLD: world } = process.env;
const load = async (name) => (await runnerImport(`./src/i18n/${name}.ts`)).module;
const { format } = await load('format');
const catalogues = { en: (await load('en')).en, zh: (await load('zh')).zh };

const kind = 'Thing';
const patience = 180_000; // bounds failures alone

/** A person at the page, with the texts of a language. */
class Person {
  constructor(lang, opened) {
    Object.assign(this, { lang, ...opened });
  }

  t(key, params = {}) {
    return format(catalogues[this.lang][key], params, this.lang === 'zh' ? 'zh-CN' : 'en');
  }

  button(within, key, params) {
    return this.page.locator(within).getByRole('button', { name: this.t(key, params), exact: true });
  }

  /** Goes to a view of the kind by the navigation. */
  async view(name) {
    await this.page.click(`nav a[href="#/kinds/${kind}/${name}"]`);
    await settled(this.page);
  }

  async title(key, params = { kind }) {
    await this.page.waitForFunction((s) => document.querySelector('#title')?.textContent === s, this.t(key, params));
  }

  /** Answers the question that is open. no: nothing is done. */
  async answer(yes) {
    const dialog = this.page.locator('dialog[open]');
    await dialog.waitFor();
    assert.ok(!/[{}]/.test(await dialog.textContent()), 'every parameter has a value');
    if (!yes) {
      await this.button('dialog[open]', 'cancel').click();
      await dialog.waitFor({ state: 'detached' });
      return 'cancelled';
    }
    await dialog.locator('.primary').click();
    const failed = dialog.locator('.failed');
    await this.page.waitForFunction(() => document.querySelector('dialog[open] .failed, body:not(:has(dialog[open]))'));
    if ((await failed.count()) === 0) return 'done';
    const why = await failed.textContent();
    await this.button('dialog[open]', 'cancel').click();
    await dialog.waitFor({ state: 'detached' });
    return why;
  }

  /** Previews a change until it may be applied; returns what moves, by instance. */
  async preview(what, fields) {
    const section = 'section[aria-labelledby=preview]';
    await this.page
      .locator(section)
      .getByRole('combobox', { name: this.t('preview.what'), exact: true })
      .selectOption(what);
    for (const [name, value] of Object.entries(fields))
      await this.page
        .locator(section)
        .getByLabel(this.t(`field.${name}`), { exact: true })
        .fill(String(value));
    await until(`${what} may be applied`, async () => {
      const answered = this.page.waitForResponse((r) => r.url().endsWith(`/kinds/${kind}/plans`));
      await this.page.click(`${section} form button[type=submit]`);
      const response = await answered;
      if (response.status() !== 200) return `${response.status()} ${await response.text()}`;
      await this.page.waitForSelector(`${section} h3`);
      return (await response.json()).refused;
    });
    const rows = this.page.locator(`${section} table.plan`).first().locator('tbody tr');
    const number = (text) => (text ? parseInt(text.replaceAll(/[^\d-−]/g, ''), 10) : 0);
    const cells = await rows.evaluateAll((all) => all.map((r) => [...r.children].map((c) => c.textContent)));
    return new Map(cells.map(([at, , was, , , is]) => [number(at), { before: number(was), after: number(is) }]));
  }

  /** Previews a change and, if so, applies it; what it rests on may change meanwhile, and then it is made anew. */
  async change(yes, what, fields) {
    if (!this.page.url().includes(`#/kinds/${kind}/rebalance`)) await this.view('rebalance'); // else it may be filled in
    let moves;
    await until(`${what} is applied`, async () => {
      moves = await this.preview(what, fields);
      await this.page.click('section[aria-labelledby=preview] .primary');
      const said = await this.answer(yes);
      return said.startsWith(this.t('error.409')) ? said : assert.ok(said === 'done' || said === 'cancelled', said);
    });
    return moves;
  }

  /** Asks for something by a button, and answers. */
  async ask(yes, within, key, params) {
    await this.button(within, key, params).click();
    assert.equal(await this.answer(yes), yes ? 'done' : 'cancelled');
    if (yes) assert.notEqual((await this.page.textContent('main > [role=status]')).trim(), '');
  }
}

/** Waits until try returns nothing; else it says what is missing. */
async function until(what, attempt) {
  for (const end = Date.now() + patience; ;) {
    const missing = await attempt();
    if (!missing) return;
    if (Date.now() > end) assert.fail(`never: ${what}: ${missing}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

/** What ZooKeeper and the StatefulSet hold, once that is so. */
async function held(what, so = () => true) {
  let found;
  await until(what, async () => {
    const response = await fetch(world + '/held');
    const text = await response.text();
    if (!response.ok) return text;
    found = JSON.parse(text);
    return so(found) ? '' : text.replace(/"owner":.*/, '');
  });
  return found;
}

const told = async (what) => {
  const response = await fetch(`${world}/${what}`, { method: 'POST' });
  assert.ok(response.ok, `${what}: ${response.status}`);
};

const inTotal = (h) => Object.values(h.held).reduce((sum, n) => sum + n, 0);
const even = (h) => Math.max(...Object.values(h.held)) - Math.min(...Object.values(h.held)) <= 8;

let en, zh;
let all = [];
let stopped = '';

/** A flow begins where the one before it has ended: after one that fails the others are skipped. */
function flow(name, walk) {
  test(name, async (t) => {
    if (stopped) return t.skip(`after: ${stopped}`);
    stopped = name;
    try {
      await walk();
    } catch (err) {
      for (const p of all) t.diagnostic(`${p.page.url()}: ${await p.page.locator('body').innerText()}`);
      throw err;
    }
    stopped = '';
  });
}

flow('the page opens by the address that was printed', async () => {
  en = new Person('en', await open(address, { lang: 'en' }));
  zh = new Person('zh', await open(address, { lang: 'zh', theme: 'dark' }));
  all = [en, zh];
});

flow('the overview has the size, what is desired and why, the resources, and no alarm', async () => {
  for (const p of all) {
    await p.page.click('nav a[href="#/overview"]');
    await p.title('nav.overview', {});
    const card = p.page.locator(`section[aria-labelledby=kind-${kind}]`);
    const figure = (key) =>
      card
        .locator('.figures > div', { has: p.page.getByText(p.t(key), { exact: true }) })
        .locator('.num')
        .first();
    for (const key of ['size', 'desired', 'ready', 'needed']) await figure(key).filter({ hasText: /^3$/ }).waitFor();
    await card.locator('.resources .num').filter({ hasText: /^600$/ }).first().waitFor();
    await card.filter({ hasText: p.t('verb.keep') }).waitFor();
    await card.filter({ hasText: p.t('alarms.none') }).waitFor();
    await figure('size').click();
    await p.page
      .locator('.panel:popover-open')
      .filter({ hasText: p.t('size.is', { set: 'iota-dac' }) }) // where the number comes from
      .waitFor();
    await p.page.keyboard.press('Escape');
    await card.locator('.why a').click();
    await p.title('why.title');
  }
});

flow('the decision is explained: its signals, the six questions, and what would make another size', async () => {
  for (const p of all) {
    await p.view('why');
    await p.title('why.title');
    await p.page.locator('.tree > li:nth-child(4) .large').filter({ hasText: /^3$/ }).waitFor();
    assert.equal(await p.page.locator('.answers > div').count(), 6);
    assert.notEqual(await p.page.locator('.points li').count(), 0);
  }
});

flow('instances are sorted, filtered and opened', async () => {
  const h = await held('all are assigned', (h) => inTotal(h) === 600);
  for (const p of all) {
    await p.view('instances');
    const ordinals = (wanted) =>
      p.page.waitForFunction(
        (w) => [...document.querySelectorAll('.rows tbody a')].map((a) => a.textContent).join() === w,
        wanted,
      );
    await ordinals('0,1,2');
    await p.page.click('.rows th.ordinal button');
    await ordinals('2,1,0');
    await p.page.getByLabel(p.t('filter.text'), { exact: true }).fill('iota-dac-1');
    await ordinals('1');
    await p.page.getByRole('combobox', { name: p.t('filter.state'), exact: true }).selectOption('drained');
    await p.page.waitForSelector('.empty');
    await p.page.getByRole('combobox', { name: p.t('filter.state'), exact: true }).selectOption('open');
    await p.page.click('.rows tbody a');
    await p.title('instance.title', { kind, n: '1' });
    await p.page.waitForSelector('.ids a');
    assert.ok((await p.page.textContent('.facts')).includes(p.t('of', { n: String(h.held[1]), of: '1,000' })));
    assert.ok((await p.page.textContent('.facts')).includes('iota-dac-1'));
    for (const id of await p.page.locator('.ids a').allTextContents()) assert.equal(h.owner[id], 1, id);
  }
});

flow('a size is previewed and applied; its moves are seen, paused, rolled back, and go on', async () => {
  for (const p of [zh, en]) await p.change(p === en, 'size', { size: 4 });
  // As many as may be in flight at once stay there, so that there is a middle of it.
  const middle = await held('the size is 4 and some are in flight', (h) => h.ready === 4 && h.inFlight === 40);
  for (const p of all) {
    await p.view('rebalance');
    const running = p.page.locator('section[aria-labelledby=running]');
    await running.getByText(p.t('moving.spread')).waitFor();
    const [moves] = p.t('moves.text', { done: 0, moves: 40, rate: 0 }).split(/[,，]/);
    await running
      .locator('p', { hasText: moves })
      .filter({ hasText: p.t('running.beyond', { n: 110 }) })
      .waitFor();
    assert.equal(await running.locator('.bar').count(), 1);
    assert.match(await p.page.textContent('section[aria-labelledby=standing]'), new RegExp(`4.*${user}`));
    await p.ask(false, 'section[aria-labelledby=running]', 'do.rollback');
  }
  await zh.ask(true, 'section[aria-labelledby=running]', 'do.pause');
  for (const p of all) await p.button('section[aria-labelledby=running]', 'do.resume').waitFor();
  assert.deepEqual((await held('it is paused')).held, middle.held, 'nothing moves meanwhile');
  await en.ask(true, 'section[aria-labelledby=running]', 'do.rollback');
  await told('hurry');
  await held('what has moved is back', (h) => h.held[3] === 0 && inTotal(h) === 600 && !h.inFlight);
  for (const p of all) {
    await p.ask(false, 'section[aria-labelledby=running]', 'do.resume');
    await p.page.click('nav a[href="#/overview"]');
    await p.page.locator(`section[aria-labelledby=kind-${kind}] header .warn`).waitFor();
    await p.view('rebalance');
  }
  await en.ask(true, 'section[aria-labelledby=running]', 'do.resume');
  await held('all four hold alike', (h) => h.held[3] > 0 && even(h) && inTotal(h) === 600);
  await zh.ask(true, 'section[aria-labelledby=running]', 'do.wake');
});

flow('an instance is drained, and takes resources again', async () => {
  const h = await held('nothing moves', (h) => even(h) && !h.inFlight);
  for (const p of all) {
    const moves = await p.change(p === zh, 'drain', { instance: 1, for: '1h' });
    assert.deepEqual(moves.get(1), { before: h.held[1], after: 0 }, 'the plan says what there is');
  }
  await held('instance 1 is empty', (h) => h.held[1] === 0 && !h.open.includes(1) && inTotal(h) === 600);
  for (const p of all) {
    await show(p.page, `#/kinds/${kind}/instances/1`);
    await p.page.locator('.facts .state', { hasText: p.t('state.drained') }).waitFor();
    assert.ok((await p.page.textContent('.facts')).includes(user));
    await p.page.getByRole('link', { name: p.t('instance.undrain') }).click();
    await p.title('rebalance.title');
    await p.change(p === zh, 'undrain', { instance: 1 });
  }
  await held('instance 1 has its share', (h) => even(h) && h.open.includes(1) && inTotal(h) === 600);
});

flow('re-orchestrate with other limits', async () => {
  for (const [by, maxInstances, resourcePerInstance] of [
    [en, 20, 700],
    [zh, 25, 900],
  ]) {
    for (const p of all) {
      if (p === by) continue;
      await p.change(false, 'limits', { maxInstances, resourcePerInstance });
    }
    await by.change(true, 'limits', { maxInstances, resourcePerInstance });
    await held('each has the capacity', (h) => Object.values(h.capacity).every((n) => n === resourcePerInstance));
    for (const p of all) {
      await p.view('config');
      await p.title('config.title');
      await p.page.locator('main select').selectOption('override');
      const row = (path) => p.page.locator('main tbody tr', { has: p.page.getByText(path, { exact: true }) });
      for (const [path, value] of [
        ['max', maxInstances],
        ['capacity', resourcePerInstance],
      ])
        await row(path).getByText(new Intl.NumberFormat('en').format(value), { exact: true }).waitFor();
      assert.ok((await row('max').textContent()).includes(user), 'who said so');
    }
  }
});

flow('a resource is found where it is, pinned, freed and moved', async () => {
  const { owner } = await held('nothing moves', (h) => even(h) && !h.inFlight);
  const [id] = Object.keys(owner).filter((one) => owner[one] !== 2);
  const find = async (p, q) => {
    if (!p.page.url().includes('#/find')) await p.page.click('nav a[href="#/find"]');
    await p.title('nav.find', {});
    await p.page.fill('input[type=search]', q);
    await p.button('main', 'find.go').click();
    await p.page.waitForFunction((text) => new URLSearchParams(location.hash.split('?')[1]).get('q') === text, q);
  };
  /** Finds the resource, again where the answer is one from before. */
  const runsOn = (p, n) =>
    until(`it is found on ${n}`, async () => {
      await find(p, id);
      const card = p.page.locator('.card');
      await card.waitFor();
      if (await card.locator(`a[href="#/kinds/${kind}/instances/${n}"]`).count()) return '';
      const text = await card.innerText();
      await show(p.page, '#/overview');
      return text;
    });
  for (const p of all) {
    await runsOn(p, owner[id]);
    await p.page.getByRole('link', { name: p.t('find.pin') }).click();
    await p.title('rebalance.title');
    await p.change(p === zh, 'pin', { instance: 2 });
  }
  await held('it is on 2', (h) => h.owner[id] === 2);
  const pinned = (p) => ({ what: `${p.t('override.pin')} ${id} 2` });
  for (const p of all) {
    await runsOn(p, 2);
    assert.ok((await p.page.textContent('.card')).includes(user), 'who pinned it');
    assert.ok((await p.page.textContent('.card table')).includes(p.t('why.pin')), 'its last move');
    await p.view('rebalance');
    await p.ask(p === zh, 'section[aria-labelledby=standing]', 'standing.end', pinned(p));
  }
  for (const p of all) {
    await p.button('section[aria-labelledby=standing]', 'standing.end', pinned(p)).waitFor({ state: 'detached' });
    await show(p.page, `#/kinds/${kind}/rebalance`);
  }
  for (const p of [zh, en]) await p.change(p === en, 'move', { resource: id, instance: 0 });
  await held('it is on 0', (h) => h.owner[id] === 0);
  for (const p of all) {
    await find(p, 'iota-dac-2');
    const hit = p.page.locator('.hits li').filter({ hasText: p.t('instance.title', { kind, n: '2' }) });
    const node = await hit.locator('.dim').textContent();
    await find(p, node);
    await p.page.getByRole('heading', { name: p.t('find.node', { node }), exact: true }).waitFor();
    await hit.waitFor();
    await find(p, id.slice(0, 13));
    await p.page.getByRole('link', { name: id }).waitFor();
  }
});

flow('deletes that wait are confirmed', async () => {
  await told('remove');
  for (const p of all) {
    await p.page.click('nav a[href="#/overview"]');
    await p.page.locator('.alarms .cure').waitFor();
    await p.view('rebalance');
    await p.page.locator('section[aria-labelledby=deletes]').getByText('120').first().waitFor();
  }
  assert.equal(inTotal(await held('it is asked first')), 600);
  for (const p of [zh, en])
    await p.ask(p === en, 'section[aria-labelledby=deletes]', 'deletes.confirm', { count: 120 });
  await held('they are gone', (h) => inTotal(h) === 480 && !h.unassigned && !h.inFlight);
  for (const p of all) await p.page.locator('section[aria-labelledby=deletes]').waitFor({ state: 'detached' });
});

flow('a spread is previewed, and the size that was set ends', async () => {
  for (const p of all) await p.change(false, 'spread', {});
  for (const p of [zh, en]) {
    const set = { what: `${p.t('override.size')} 4` };
    await p.ask(p === en, 'section[aria-labelledby=standing]', 'standing.end', set);
  }
  await held('the size is 3', (h) => h.replicas === 3 && inTotal(h) === 480);
});

flow('the timeline has what was decided, moved and changed, and by whom', async () => {
  for (const p of all) {
    await p.view('timeline');
    await p.title('timeline.title');
    assert.equal(await p.page.locator('.chart canvas').count(), 1);
    const rows = p.page.locator('section[aria-labelledby=events] tbody tr');
    for (const type of ['moves', 'change', 'decision'])
      await rows
        .filter({ has: p.page.getByRole('cell', { name: p.t(`entry.${type}`), exact: true }) })
        .first()
        .waitFor();
    await rows.filter({ hasText: user }).first().waitFor();
    await rows
      .getByRole('link', { name: p.t('why.link') })
      .first()
      .click();
    await p.page.getByText(p.t('why.then'), { exact: true }).waitFor();
  }
});

flow("at the server's own door a token makes a session, and a lost connection shows and comes back", async () => {
  // a plan that is refused, since what it rests on has changed, is made anew
  const errors = all.flatMap((p) => p.errors.filter((e) => !/\/(plans|apply)$/.test(e)));
  assert.deepEqual(errors, []);
  assert.deepEqual(
    all.flatMap((p) => p.outside),
    [],
  );
  for (const lang of ['en', 'zh']) {
    const p = new Person(lang, await open(door + '/ui/', { lang }));
    await p.title('signin', {});
    assert.match(await p.page.textContent('.stranger'), /kubectl -n \S+ create token/);
    await p.page.locator('.standing.note').getByText(p.t('error.401')).waitFor();
    await p.page.getByLabel(p.t('signin.token'), { exact: true }).fill(token);
    await p.button('main', 'signin.do').click();
    await p.page.locator(`section[aria-labelledby=kind-${kind}]`).waitFor();
    assert.deepEqual(p.errors, []);
    all.push(p);
  }
  await told('kill');
  const lost = (p) => p.page.locator('.standing.bad');
  await Promise.all(
    all.map(async (p) => {
      const first = await lost(p).textContent();
      assert.match(first, /\d/, 'the age of what is seen');
      assert.notEqual(await p.page.locator('main').textContent(), '', 'what was seen stays');
      await p.page.waitForFunction((f) => document.querySelector('.standing.bad').textContent !== f, first);
    }),
  );
  await accessible(zh.page, 'without a connection');
  await told('start');
  // Those who come through the API server wait for that to find the product again, which takes its time.
  for (const p of all.slice(2)) await lost(p).waitFor({ state: 'detached', timeout: patience });
});
