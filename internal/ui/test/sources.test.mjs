// What holds of the sources: the catalogues agree, and no visible text stands outside them.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import ts from 'typescript';

const [often, seldom] = ['sentences', 'faults'].map((f) =>
  JSON.parse(fs.readFileSync(`src/i18n/${f}.zh.json`, 'utf8')),
);
const sentences = { ...often, ...seldom };
const load = async (name) => {
  const text = fs
    .readFileSync(`src/${name}.ts`, 'utf8')
    .replace(/^import sentences .*$/m, `const sentences = ${JSON.stringify(sentences)};`)
    .replace(/^import .* from '\.\/read';$/m, '');
  const out = ts.transpileModule(text, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  }).outputText;
  return import(`data:text/javascript,${encodeURIComponent(out)}`);
};
const { en } = await load('i18n/en');
const { zh } = await load('i18n/zh');
const { glossary } = await load('i18n/glossary');
const { format } = await load('i18n/format');
const { inChinese } = await load('i18n/read');

const files = fs.readdirSync('src', { recursive: true }).filter((f) => /\.tsx?$/.test(f));
const sources = files.map((f) => [f, fs.readFileSync(path.join('src', f), 'utf8')]);

test('both catalogues have the same keys and the same parameters', () => {
  assert.deepEqual(Object.keys(zh).sort(), Object.keys(en).sort());
  const params = (text) => [...new Set([...text.matchAll(/\{(\w+)(?=[,}])/g)].map((m) => m[1]))].sort();
  for (const key of Object.keys(en)) {
    assert.deepEqual(params(zh[key]), params(en[key]), key);
  }
});

test('every message can be formatted', () => {
  for (const catalogue of [en, zh]) {
    for (const [key, text] of Object.entries(catalogue)) {
      const names = [...text.matchAll(/\{(\w+)[,}]/g)].map((m) => m[1]);
      for (const n of [0, 1, 2, 1234]) {
        const said = format(text, Object.fromEntries(names.map((name) => [name, n])), 'en');
        assert.ok(!/[{}#]/.test(said), `${key}: ${said}`);
      }
    }
  }
});

test('Chinese has the words of the glossary', () => {
  const wrong = [];
  const names = /\b[\w-]+[.:/][\w./-]+|--[\w-]+|`[^`]*`|\w+: \w+(?=$|;)/g; // of fields, files, options: no words
  const pairs = [
    ...Object.keys(en).map((key) => [en[key].replaceAll(/\{\w+[,}]/g, ''), zh[key]]),
    ...Object.entries(sentences).map(([english, chinese]) => [english.replaceAll(names, ''), chinese]),
  ];
  for (const [word, zhWord] of Object.entries(glossary)) {
    const whole = new RegExp(`\\b${word}s?\\b`, 'i');
    for (const [english, chinese] of pairs)
      if (whole.test(english) && !chinese.includes(zhWord)) wrong.push(`${word} is ${zhWord}: ${english}: ${chinese}`);
  }
  assert.deepEqual(wrong, []);
});

const verb = /%(?:\[(\d)\])?[\d.]*([a-zA-Z%])/g;

/** A format with such arguments as its verbs write; places are those of Go. */
function written(format) {
  let place = 0;
  const sample = (kind, at) =>
    ({ d: `${at}7`, f: `${at}.25`, g: `${at}.5`, q: `"q${at}"`, t: 'true' })[kind] ?? `x${at}-0`;
  return format.replaceAll(verb, (_, at, kind) =>
    kind === '%' ? '%' : sample(kind, (place = at ? Number(at) : place + 1)),
  );
}

const text = (parts) => parts.map((p) => (typeof p === 'string' ? p : (p.code ?? `“${p.said}”`))).join('');
const cjk = /([\u3000-\u303f\u3400-\u9fff\uff00-\uffef]) +(?=[\u3000-\u303f\u3400-\u9fff\uff00-\uffef])/gu;

test('every sentence of the server is read back, and none is taken for another one', () => {
  const wrong = [];
  for (const [format, chinese] of Object.entries(sentences)) {
    const want = written(chinese).replaceAll(cjk, '$1').replaceAll('`', '');
    const got = text(inChinese(written(format)));
    if (got !== want) wrong.push(`${written(format)}: ${got}, want ${want}`);
  }
  assert.deepEqual(wrong, []);
});

test('sentences within sentences are read, and what others said stays', () => {
  for (const [english, chinese] of [
    [
      'scale up 24 -> 25: cpu-hottest asks for 25; maximum (max) is 25; 2 pods of ours',
      '扩容 24 → 25：最热实例的 CPU 要求 25；最大规模（max）为 25；“2 pods of ours”',
    ],
    ['no change at 8: count asks for 8 (within its tolerance)', '保持 8 不变：资源数量要求 8（在容差之内）'],
    [
      'scale down 9 -> 6 (the HPA writes replicas) after a drain of instances 6 to 8: memory asks for 6',
      '缩容 9 → 6（副本数由 HPA 写入），先排空实例 6–8：内存要求 6',
    ],
    [
      'the kind is stopped: create: commit create: refused by zookeeper: CREATE is missing on /iota/pool',
      '该类别已停止：create：提交 create：被 ZooKeeper 拒绝：/iota/pool 缺少 CREATE 权限',
    ],
    [
      'Kubernetes cannot be read: x509: certificate signed by unknown authority',
      '无法读取 Kubernetes：“x509: certificate signed by unknown authority”',
    ],
    [
      'smaller with at most 40500 resources and cpu below 0.90 of its target (63 % of the requests) for 5m',
      '资源不超过 40500 个，并且 CPU 低于目标的 0.90 倍（资源请求的 63%）并持续 5m 时缩容',
    ],
    [
      'larger with cpu above 1.10 of its target (77 % of the requests) for 5m',
      'CPU 高于目标的 1.10 倍（资源请求的 77%）并持续 5m 时扩容',
    ],
    [
      'iota-dac-3 is on node n1, lost for 7m; not reassigned: its status is absent; if nothing of its pod runs any more: shardscaler reassign Thing 3 --assume-dead --server URL',
      'iota-dac-3 在节点 n1 上，已失联 7m；未重新指派：它的状态不存在；如果该 Pod 的任何部分都不再运行：shardscaler reassign Thing 3 --assume-dead --server URL',
    ],
    [
      'instances not acknowledging (handOff: acknowledged): 1 (its status is absent), 2 (its status is present and empty) (2 of 5); nothing is moved out of them, they cannot be drained; resources too many for 5 instances of capacity 10: 3',
      '不确认的实例（handOff: acknowledged）：1（它的状态不存在），2（它的状态存在，但为空）（5 个中有 2 个）；不会从它们迁出任何资源，也无法排空它们；5 个容量为 10 的实例容纳不下的资源：3 个',
    ],
    [
      'size 12 by ann until 2026-03-01T12:00:00Z; drain 3 by bob',
      '规模 12，由 ann，直到 2026-03-01T12:00:00Z；排空实例 3，由 bob',
    ],
    ['the API server said something odd', '“the API server said something odd”'],
    ['EOF', '“EOF”'],
  ])
    assert.equal(text(inChinese(english)), chinese);
});

/** What the stories of package decide say, as the golden files have it. */
function* told(dir) {
  const sentence =
    /^(?:\S+ \(\S+\) at \S+:| *limit \S+: instead of \d+, \d+:| *hold \S+:| *signal \S+: (?:missing|\d+ \([^)]*\)):| *ignored| *conflict:| *instance \d+ is lost:| *restart and reassign suspended:) (.*)/;
  for (const name of fs.readdirSync(dir))
    for (const line of fs.readFileSync(path.join(dir, name), 'utf8').split('\n')) {
      const said = sentence.exec(line)?.[1];
      if (said) yield said;
    }
}

test('what the stories of decisions say is read, all but what others said', () => {
  const all = new Set(told(process.env.STORIES ?? '../../scaler/decide/testdata/stories'));
  assert.ok(all.size > 150, `${all.size} sentences`);
  const others = new Set();
  const left = [];
  for (const english of all) {
    const parts = inChinese(english);
    for (const p of parts) if (p.said) others.add(p.said);
    const ours = parts.filter((p) => typeof p === 'string').join('');
    if (/\p{Script=Latin}{3,} \p{Script=Latin}{3,} \p{Script=Latin}{3,}/u.test(ours)) left.push(ours);
  }
  assert.deepEqual([...others], ['connection refused']);
  assert.deepEqual(left, []);
});

test('every key is used', () => {
  const text = sources
    .filter(([f]) => !f.startsWith('i18n'))
    .map(([, s]) => s)
    .join('\n');
  const prefixes = [...text.matchAll(/(?:word|tCode)\('(\w+)'|prefix="(\w+)"|t\(`(\w+)\./g)].map(
    (m) => m[1] ?? m[2] ?? m[3],
  );
  const suffixed = text.includes('.key}.is`') ? /^(assigned|inFlight|unassigned)\.is$/ : /^$/;
  const unused = Object.keys(en).filter(
    (key) => !text.includes(`'${key}'`) && !prefixes.includes(key.split('.')[0]) && !suffixed.test(key),
  );
  assert.deepEqual(unused, []);
});

test('no visible text stands outside the catalogues', () => {
  const names = new Set(['shardscaler', 'English', '中文', 'xx']); // a product's and languages' own names
  const found = [];
  for (const [file, text] of sources.filter(([f]) => f.endsWith('.tsx'))) {
    const tree = ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true, ts.ScriptKind.TSX);
    const see = (node, text) => {
      if (/\p{L}/u.test(text) && !names.has(text.trim()))
        found.push(`${file}:${tree.getLineAndCharacterOfPosition(node.getStart()).line + 1}: ${text.trim()}`);
    };
    const visit = (node) => {
      if (ts.isJsxText(node)) see(node, node.text);
      if (
        ts.isJsxExpression(node) &&
        node.expression &&
        ts.isStringLiteralLike(node.expression) &&
        ts.isJsxElement(node.parent)
      )
        see(node, node.expression.text);
      if (
        ts.isJsxAttribute(node) &&
        /^(aria-label|aria-description|title|placeholder|alt|label)$/.test(node.name.getText())
      ) {
        const value = node.initializer;
        if (value && ts.isStringLiteral(value)) see(node, value.text);
      }
      ts.forEachChild(node, visit);
    };
    visit(tree);
  }
  assert.deepEqual(found, []);
});

test('durations of the API are read', async () => {
  const body = fs
    .readFileSync('src/data/times.ts', 'utf8')
    .replace(/^import.*$/m, 'const locale = () => "en", t = (k) => k;');
  const out = ts.transpileModule(body, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  }).outputText;
  const { parseDuration } = await import(`data:text/javascript,${encodeURIComponent(out)}`);
  for (const [text, ms] of [
    ['1m12s', 72000],
    ['624ms', 624],
    ['0s', 0],
    ['1h0m0.5s', 3600500],
    ['-2s', -2000],
  ])
    assert.equal(parseDuration(text), ms, text);
  for (const text of ['', '5', 'm', '5 s', 'soon']) assert.ok(Number.isNaN(parseDuration(text)), text);
});
