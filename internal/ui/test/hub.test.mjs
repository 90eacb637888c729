// How the page comes back to a server that is away or refuses it, in virtual time.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import test from 'node:test';
import ts from 'typescript';

const text = fs.readFileSync('src/data/hub.ts', 'utf8').replace(/^import \{ Mirror.*$/m, 'class Mirror {}');
const out = ts.transpileModule(text, {
  compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
}).outputText;
const { Hub } = await import(`data:text/javascript,${encodeURIComponent(out)}`);

/** What a hub asks for in ten minutes of a server that answers so, each with its time in milliseconds. */
async function asked(t, knock, answer) {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const all = [];
  const ask = (url) => {
    all.push({ call: url.slice(url.lastIndexOf('/') + 1), at: Date.now() });
    return answer(url);
  };
  globalThis.EventSource = class {
    static CLOSED = 2;
    readyState = 2;
    constructor(url) {
      ask(url);
      queueMicrotask(() => this.onerror());
    }
    addEventListener() {}
    close() {}
  };
  t.mock.method(globalThis, 'fetch', async (url) => {
    const [status, body] = ask(String(url)) ?? assert.fail('away');
    return { status, ok: status === 200, json: async () => body };
  });
  new Hub('http://server/v1/api/kinds', () => undefined).begin(knock);
  while (Date.now() < 600_000) {
    t.mock.timers.tick(50);
    for (let i = 0; i < 10; i++) await Promise.resolve();
  }
  return all;
}

const gaps = (all) => all.slice(1).map((a, i) => a.at - all[i].at);
const streams = (all) => all.filter((a) => a.call === 'kinds?watch=true');
const known = [200, { user: 'ann' }];

for (const [name, answer] of [
  ['is away', () => undefined],
  ['is away behind another one', (url) => (url.endsWith('session') ? known : [503])],
])
  test(`a server that ${name} is tried again within five seconds, and not all the time`, async (t) => {
    const between = gaps(streams(await asked(t, false, answer)));
    assert.ok(Math.max(...between) <= 5100, `${Math.max(...between)}`);
    assert.ok(Math.min(...between.slice(5)) >= 2500, `${Math.min(...between.slice(5))}`);
  });

test('a server that refuses the user is asked less often', async (t) => {
  const between = gaps(streams(await asked(t, false, (url) => (url.endsWith('session') ? known : [403]))));
  assert.ok(Math.min(...between.slice(6)) >= 15_000, `${between}`);
});

test('where there is no user, no stream is begun that would be refused', async (t) => {
  const all = await asked(t, true, (url) => (url.endsWith('session') ? [200, { user: '' }] : [401]));
  assert.ok(all.length > 15);
  assert.deepEqual([...new Set(all.map((a) => a.call))], ['session']);
});
