// What holds of the sources: the catalogues agree, and no visible text stands outside them.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import ts from 'typescript';

const load = async (name) => {
  const out = ts.transpileModule(fs.readFileSync(`src/${name}.ts`, 'utf8'), {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  }).outputText;
  return import(`data:text/javascript,${encodeURIComponent(out)}`);
};
const { en } = await load('i18n/en');
const { zh, server } = await load('i18n/zh');
const { glossary } = await load('i18n/glossary');
const { format } = await load('i18n/format');

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
  for (const catalogue of [en, zh, server]) {
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
  for (const [word, zhWord] of Object.entries(glossary)) {
    const whole = new RegExp(`\\b${word}s?\\b`, 'i');
    for (const key of Object.keys(en))
      if (whole.test(en[key].replaceAll(/\{\w+[,}]/g, '')) && !zh[key].includes(zhWord))
        wrong.push(`${key}: ${word} is ${zhWord}: ${zh[key]}`);
  }
  assert.deepEqual(wrong, []);
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
