// Reads what the server says in English, and says it in Chinese. The server writes a sentence by a format of Go;
// sentences.zh.json has the Chinese of each format, faults.zh.json of those that few ever see. Here the arguments are
// read back out of the sentence; each may be a sentence too. A test of Go holds the catalogues to the formats that there
// are.
import sentences from './sentences.zh.json';
import type { Part } from './index';

interface Rule {
  head: string; // what stands before the first verb
  loose: boolean; // so little stands beside its verbs that these must be names or known
  pieces: string[]; // what stands between the verbs
  format: string;
  chinese: string;
  patterns?: Record<'narrow' | 'wide', RegExp>;
}

const verb = /%(?:\[(\d)\])?[\d.]*([a-zA-Z%])/g;

/** What stands between the verbs of a format. */
const pieces = (format: string) => format.split(/%(?:\[\d\])?[\d.]*[a-zA-Z%]/);
const own = (format: string) => pieces(format).join('');
const letters = (format: string) => own(format).replaceAll(/[^\p{L}]/gu, '').length;

const memory = new Map<string, Part[] | undefined>(); // what was read
const words = new Map<string, string>();
const rules = new Map<string, Rule[]>(); // by the first letter; '' are those that begin with an argument

/**
 * Takes in formats and their Chinese. The first that fits is to be taken: one that begins with words before one that
 * begins with an argument, and the longest first.
 */
export function learn(formats: Record<string, string>): void {
  for (const [format, chinese] of Object.entries(formats)) {
    const head = format.slice(0, format.search(/%|$/));
    const alike = rules.get(head.charAt(0)) ?? [];
    if (head === format) words.set(format, chinese);
    else alike.push({ head, loose: !head && letters(format) < 6, pieces: pieces(format), format, chinese });
    rules.set(head.charAt(0), alike);
  }
  for (const alike of rules.values()) alike.sort((a, b) => own(b.format).length - own(a.format).length);
  memory.clear();
}

const escaped = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');

const kinds: Record<string, string> = {
  d: '(-?\\d+)',
  f: '(-?[\\d.]+)',
  g: '(-?[\\d.e+]+)',
  q: '("(?:[^"\\\\]|\\\\.)*")',
  t: '(true|false)',
};

/** The pattern of a format. In a narrow one no argument goes beyond its clause, and none begins before a colon. */
function pattern(format: string, width: Width): RegExp {
  let text = width === 'wide' ? '(.*?)' : format.startsWith('%') ? '((?:(?!; |: ).)*?)' : '((?:(?!; ).)*?)';
  let out = '';
  let at = 0;
  for (const m of format.matchAll(verb)) {
    out += escaped(format.slice(at, m.index)) + (m[2] === '%' ? '%' : (kinds[m[2] ?? ''] ?? text));
    if (width === 'narrow') text = '((?:(?!; ).)*?)';
    at = m.index + m[0].length;
  }
  return new RegExp(`^${out}${escaped(format.slice(at))}$`, 'su');
}

/** The places of a format's arguments, in the order of its verbs. */
function places(format: string): number[] {
  let place = 0;
  return [...format.matchAll(verb)].filter((m) => m[2] !== '%').map((m) => (place = m[1] ? Number(m[1]) : place + 1));
}

type Width = 'narrow' | 'wide';

/** Whether the pieces stand in a text, one after the other: a quick look before the pattern. */
function mayFit(rule: Rule, text: string): boolean {
  let at = 0;
  return (
    text.startsWith(rule.head) && rule.pieces.every((p) => (at = text.indexOf(p, at)) >= 0 && ((at += p.length), true))
  );
}

function fits(rule: Rule, text: string, width: Width): string[] | undefined {
  if (!mayFit(rule, text)) return undefined;
  rule.patterns ??= { narrow: pattern(rule.format, 'narrow'), wide: pattern(rule.format, 'wide') };
  const found = rule.patterns[width].exec(text)?.slice(1);
  if (!found) return undefined;
  const args: string[] = [];
  places(rule.format).forEach((place, i) => (args[place] = found[i] ?? ''));
  return rule.loose && args.some((a) => !name.test(a) && !read(a)) ? undefined : args;
}

const name = /^[^\s()]*$/;
const prose = /\p{L}{2,}[,:;]? \p{L}{2,}/u; // more than names
const command = /^(kubectl|shardscaler) /;
const runs = /^\d+( to \d+)?(, \d+( to \d+)?)*$/;
const list = /^[^\s,]+(, [^\s,]+)+$/;

/** An argument: a sentence or a word of ours, names, a line to type, or what others said. */
function argument(text: string): Part[] {
  if (text.startsWith(': ')) return ['：', ...argument(text.slice(2))];
  const known = read(text);
  if (known) return known;
  if (list.test(text)) return [text.replaceAll(', ', '、')];
  return prose.test(text) ? [{ said: text }] : [text];
}

function fill(chinese: string, args: string[]): Part[] {
  const parts: Part[] = [];
  let at = 0;
  let place = 0;
  for (const m of chinese.matchAll(verb)) {
    parts.push(chinese.slice(at, m.index));
    at = m.index + m[0].length;
    if (m[2] === '%') parts.push('%');
    else parts.push(...argument(args[(place = m[1] ? Number(m[1]) : place + 1)] ?? ''));
  }
  return [...parts, chinese.slice(at)];
}

/** How much of it is in others' words, which is worse in many pieces; and, as far less, how many words are not Chinese. */
const unread = (parts: Part[]) =>
  parts.reduce((sum, p) => {
    if (typeof p === 'string') return sum + 0.01 * (p.match(/(?<![\w-])[a-z]{3,}(?![\w-])/g)?.length ?? 0);
    return sum + ('said' in p ? p.said.length + 4 : 0);
  }, 0);

/** The first of the ways to read a text that leaves nothing unread, else the one that leaves clearly the least. */
function best(ways: Iterable<Part[]>): Part[] | undefined {
  let found: Part[] | undefined;
  let least = Infinity;
  for (const parts of ways) {
    const left = unread(parts);
    if (left < 1 ? left < least : left + 8 < least) [found, least] = [parts, left];
    if (least === 0) break;
  }
  return found;
}

/** What the rules make of the whole text. */
function* whole(text: string, width: Width, loose = false): Generator<Part[]> {
  for (const rule of [...(rules.get(text.charAt(0)) ?? []), ...(rules.get('') ?? [])]) {
    const args = rule.loose === loose ? fits(rule, text, width) : undefined;
    if (args) yield fill(rule.chinese, args);
  }
}

const splits = 6; // a text is tried to be split at so many places at most

/** What stands before and after a separator, where the one is known; both: where both are. */
function* halves(text: string, separator: string, chinese: string, both = false): Generator<Part[]> {
  let at = text.indexOf(separator);
  for (let i = 0; i < splits && at > 0; i++, at = text.indexOf(separator, at + 1)) {
    const left = text.slice(0, at);
    const right = text.slice(at + separator.length);
    const l = read(left);
    if (both && !l) continue;
    const r = read(right);
    if (both ? r : l || r) yield [...(l ?? argument(left)), chinese, ...(r ?? argument(right))];
  }
}

function* ways(text: string): Generator<Part[]> {
  yield* whole(text, 'narrow');
  yield* halves(text, ': ', '：');
  yield* whole(text, 'wide');
  yield* halves(text, ', ', '，', true);
  yield* whole(text, 'narrow', true);
}

const longest = 3; // a format has so many clauses at most

/** Reads clause by clause, so that the least stays unread. */
function clauses(text: string): Part[] | undefined {
  const all = text.split('; ');
  const rest: { cost: number; known: boolean; parts: Part[] }[] = [];
  rest[all.length] = { cost: 0, known: false, parts: [] };
  for (let i = all.length - 1; i >= 0; i--) {
    for (let n = 1; n <= Math.min(longest, all.length - i); n++) {
      const clause = all.slice(i, i + n).join('; ');
      const known = n === 1 ? read(clause) : best(whole(clause, 'narrow'));
      const parts = known ?? (n === 1 ? argument(clause) : undefined);
      const next = rest[i + n];
      if (!parts || !next) continue;
      const cost = unread(parts) + next.cost;
      const then = next.parts.length ? ['；', ...next.parts] : [];
      if (cost < (rest[i]?.cost ?? Infinity))
        rest[i] = { cost, known: !!known || next.known, parts: [...parts, ...then] };
    }
  }
  return rest[0]?.known ? rest[0].parts : undefined;
}

function* several(text: string): Generator<Part[]> {
  yield* whole(text, 'narrow');
  const found = clauses(text);
  if (found) yield found;
  yield* whole(text, 'wide');
}

/** What a text says, in Chinese; undefined: it is none of ours. */
function read(text: string): Part[] | undefined {
  if (words.has(text)) return [words.get(text) ?? ''];
  if (command.test(text)) return [{ code: text }];
  if (runs.test(text)) return [text.replaceAll(' to ', '–').replaceAll(', ', '、')];
  if (!/\p{L}/u.test(text)) return undefined;
  if (!memory.has(text)) {
    memory.set(text, undefined);
    memory.set(text, best(text.includes('; ') ? several(text) : ways(text)));
  }
  return memory.get(text);
}

const cjk = /([\u3000-\u303f\u3400-\u9fff\uff00-\uffef]) +(?=[\u3000-\u303f\u3400-\u9fff\uff00-\uffef])/gu;

learn(sentences);

/** A text of the server in Chinese: strings, lines to type, and what others said, as they said it. */
export function inChinese(text: string): Part[] {
  if (memory.size > 5000) memory.clear();
  const out: Part[] = [];
  for (const part of read(text) ?? [{ said: text }]) {
    const last = out.at(-1);
    if (typeof part === 'string' && typeof last === 'string') out[out.length - 1] = last + part;
    else out.push(part);
  }
  return out.flatMap((p) => (typeof p === 'string' ? lines(p.replaceAll(cjk, '$1')) : p));
}

/** What stands in backquotes is a line to type. */
function lines(text: string): Part[] {
  return text.split('`').map((part, i) => (i % 2 ? { code: part } : part));
}
