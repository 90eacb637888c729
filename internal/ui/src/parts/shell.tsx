import { useSignal, useSignalEffect } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useRef } from 'preact/hooks';
import { address } from '../api/client';
import { clock, kinds, link, mode, now } from '../data/store';
import { route, to } from '../data/route';
import { ending } from '../data/session';
import { say, stamp } from '../data/times';
import { choose, lang, preferred, t, type Key, type Lang } from '../i18n';
import { word } from './basic';
import { theme, themes, setTheme, type Theme } from './theme';

const views: { path: string; key: Key; ofKind: boolean; live?: boolean }[] = [
  { path: 'overview', key: 'nav.overview', ofKind: false },
  { path: 'instances', key: 'nav.instances', ofKind: true },
  { path: 'why', key: 'nav.why', ofKind: true },
  { path: 'timeline', key: 'nav.timeline', ofKind: true, live: true },
  { path: 'rebalance', key: 'nav.rebalance', ofKind: true, live: true },
  { path: 'config', key: 'nav.config', ofKind: true },
  { path: 'find', key: 'nav.find', ofKind: false },
];

/** The kind that the present view, or the one before it, is of. */
export function useKind(): string | undefined {
  const last = useSignal<string | undefined>(undefined);
  const { path } = route.value;
  const named = path[0] === 'kinds' ? path[1] : (route.value.query.get('kind') ?? undefined);
  if (named) last.value = named;
  return named ?? last.peek() ?? kinds.value?.[0]?.name;
}

export function Shell({ children }: { children: ComponentChildren }) {
  const kind = useKind();
  const { path } = route.value;
  const view = path[0] === 'kinds' ? (path[2] ?? 'instances') : (path[0] ?? 'overview');
  return (
    <>
      <a class="skip" href="#title" onClick={skip}>
        {t('skip')}
      </a>
      <header class="top">
        <a class="brand" href={to(['overview'])}>
          shardscaler
        </a>
        <nav aria-label={t('nav.label')}>
          <ul>
            {views.map((v) => {
              if ((v.ofKind && !kind) || (v.live && mode === 'snapshot')) return null;
              const href = v.ofKind && kind ? to(['kinds', kind, v.path]) : to([v.path]);
              return (
                <li key={v.path}>
                  <a href={href} aria-current={v.path === view ? 'page' : undefined}>
                    {t(v.key)}
                  </a>
                </li>
              );
            })}
            {mode === 'live' && (
              <li>
                <a href={address('docs')}>{t('nav.api')}</a>
              </li>
            )}
          </ul>
        </nav>
        <Choices />
        <Standing />
      </header>
      <main>
        {path[0] === 'kinds' && <Kinds current={path[1]} view={view} />}
        {children}
      </main>
      <Announcer />
    </>
  );
}

function skip(e: Event): void {
  e.preventDefault();
  document.getElementById('title')?.focus();
}

function Kinds({ current, view }: { current: string | undefined; view: string }) {
  const all = kinds.value ?? [];
  if (all.length < 2) return null;
  return (
    <nav class="kinds" aria-label={t('kinds.label')}>
      <ul>
        {all.map((k) => (
          <li key={k.name}>
            <a href={to(['kinds', k.name, view])} aria-current={k.name === current ? 'true' : undefined}>
              {k.name}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

function Choices() {
  return (
    <div class="choices">
      <label>
        <span class="hidden">{t('choose.language')}</span>
        <select value={lang.value} onChange={(e) => choose(e.currentTarget.value as Lang)}>
          <option value="en" lang="en">
            English
          </option>
          <option value="zh" lang="zh-CN">
            中文
          </option>
          {preferred() === 'xx' && <option value="xx">xx</option>}
        </select>
      </label>
      <label>
        <span class="hidden">{t('choose.theme')}</span>
        <select value={theme.value} onChange={(e) => setTheme(e.currentTarget.value as Theme)}>
          {themes.map((name) => (
            <option key={name} value={name}>
              {word('theme', name)}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}

/** How far what is seen can be believed: nothing while the connection stands. */
function Standing() {
  const { state, seen, status } = link.value;
  if (mode === 'snapshot') {
    return (
      <p class="standing note">
        <span aria-hidden="true">◷ </span>
        {kinds.value?.[0] ? t('snapshot.at', { time: stamp(now.value) }) : t('snapshot')}
      </p>
    );
  }
  if (state !== 'lost') return <Ending />;
  if (status === 401) return <ToSignIn />;
  const age = say(clock.value - (seen ?? clock.value));
  return (
    <p class="standing bad">
      <span aria-hidden="true">▲ </span>
      {status === 403 ? t('lost.refused') : seen ? t('lost.seen', { age }) : t('lost.never')}
    </p>
  );
}

/** No user is signed in yet, or any more: that is no fault of the connection. */
function ToSignIn() {
  return (
    <p class="standing note">
      <span aria-hidden="true">ⓘ </span>
      {t('error.401')} <a href={to(['signin'])}>{t('signin')}</a>
    </p>
  );
}

/** Says ten minutes before that a session ends. */
function Ending() {
  if (ending.value === undefined) return null;
  return (
    <p class="standing warn">
      <span aria-hidden="true">△ </span>
      {t('signin.ends', { time: say(ending.value) })} <a href={to(['signin'])}>{t('signin')}</a>
    </p>
  );
}

/** What a listener would want to hear of: a state by name, and the words for it. */
function statesNow(): Map<string, { code: string; say: () => string }> {
  const states = new Map<string, { code: string; say: () => string }>();
  for (const k of kinds.value ?? []) {
    const verb = k.verb ?? 'still';
    states.set(k.name, { code: verb, say: () => t('said.kind', { kind: k.name, verb: word('verb', verb) }) });
    for (const a of k.alarms) {
      states.set(`${k.name} ${a.name}`, {
        code: a.severity,
        say: () => t('said.alarm', { kind: k.name, alarm: alarmTitle(a.name) }),
      });
    }
  }
  if (ending.value !== undefined) states.set(' session', { code: 'ends', say: () => t('said.ends') });
  const { state } = link.value;
  if (state !== 'connecting')
    states.set('', { code: state, say: () => t(state === 'lost' ? 'said.lost' : 'said.open') });
  return states;
}

/** Says changes of state to those who cannot see them: verbs, alarms, the connection. */
function Announcer() {
  const said = useSignal('');
  const before = useRef<ReturnType<typeof statesNow> | undefined>(undefined);
  useSignalEffect(() => {
    const states = statesNow();
    const old = before.current;
    if (kinds.value) before.current = states;
    if (!old) return;
    const news = [...states].filter(([name, s]) => old.get(name)?.code !== s.code).map(([, s]) => s.say());
    for (const name of old.keys()) {
      const [kind, alarm] = name.split(' ');
      if (kind && alarm && !states.has(name)) news.push(t('said.over', { kind: kind ?? '', alarm: alarmTitle(alarm) }));
    }
    if (news.length > 0) said.value = news.join('. ');
  });
  return (
    <div class="hidden" aria-live="polite">
      {said}
    </div>
  );
}

/** The short name of an alarm. */
export function alarmTitle(name: string): string {
  return word('alarm', name);
}
