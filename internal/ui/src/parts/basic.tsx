import type { ComponentChildren } from 'preact';
import { useId, useRef } from 'preact/hooks';
import type { Problem } from '../api/client';
import type { Instance } from '../api/types';
import { beats, kindNamed, lagOf, now } from '../data/store';
import { say, stamp } from '../data/times';
import { n, said, t, tCode, type Key } from '../i18n';

/** The heading of a view. It takes the focus when the view is come to by a link. */
export function Title({ children }: { children: ComponentChildren }) {
  return (
    <h1 id="title" tabIndex={-1}>
      {children}
    </h1>
  );
}

/** How long ago something was, moving with the clock; its time as a tooltip. */
export function Age({ at }: { at: string | undefined }) {
  if (!at) return <span>{t('time.unknown')}</span>;
  return (
    <time dateTime={at} title={stamp(at)}>
      {t('time.ago', { age: say(now.value - Date.parse(at)) })}
    </time>
  );
}

/** How late an instance's heartbeat is, in words. */
export function sayLag(i: Instance): string {
  const lag = lagOf(i);
  if (lag !== undefined) return say(lag);
  const kind = kindNamed(i.kind);
  return kind && !beats(kind) ? t('lag.off') : t('unknown');
}

/** A sentence of the server, in the language in force; what others said stays in their words. */
export function Server({ children }: { children: string }) {
  return (
    <>
      {said(children).map((p, i) => {
        if (typeof p === 'string') return p;
        return 'code' in p ? (
          <code key={i}>{p.code}</code>
        ) : (
          <q key={i} lang="en">
            {p.said}
          </q>
        );
      })}
    </>
  );
}

/** A word for a code of the server: the catalogue's, else the code itself. */
export function word(prefix: string, code: string): string {
  return tCode(prefix, code) ?? code;
}

const glyphs: Record<string, string> = {
  open: '●',
  closed: '○',
  draining: '◐',
  drained: '◌',
  leaving: '▽',
  lost: '✕',
  absent: '□',
  critical: '▲',
  warning: '△',
  info: 'ⓘ',
  grow: '↑',
  shrink: '↓',
  keep: '=',
  still: '■',
};

const tones: Record<string, string> = {
  lost: 'bad',
  absent: 'bad',
  critical: 'bad',
  still: 'bad',
  warning: 'warn',
  draining: 'warn',
  leaving: 'warn',
  drained: 'warn',
  closed: 'dim',
  grow: 'note',
  shrink: 'note',
};

/** A state: a shape and a word, never a colour alone. Without prefix the word is in what follows. */
export function State({ prefix, code }: { prefix?: string; code: string }) {
  return (
    <span class={`state ${tones[code] ?? ''}`}>
      <span aria-hidden="true" class="glyph">
        {glyphs[code] ?? '·'}
      </span>
      {prefix && word(prefix, code)}
    </span>
  );
}

/** A number whose source and age are one click away. */
export function Num(props: { label: string; value: number | string | undefined; children: ComponentChildren }) {
  const id = useId();
  const panel = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const place = (e: { newState?: string }) => {
    if (e.newState !== 'open' || !panel.current || !button.current) return;
    const at = button.current.getBoundingClientRect();
    const { style } = panel.current;
    style.left = `${Math.max(8, Math.min(at.left, innerWidth - Math.min(320, innerWidth - 16) - 8))}px`;
    style.top = `${Math.min(at.bottom + 4, innerHeight - 120)}px`;
  };
  const text =
    props.value === undefined ? t('unknown') : typeof props.value === 'number' ? n(props.value) : props.value;
  return (
    <>
      <button
        ref={button}
        type="button"
        class="num"
        popovertarget={id}
        aria-label={t('num.open', { label: props.label, value: text })}
      >
        {text}
      </button>
      <div ref={panel} id={id} popover="auto" class="panel" onBeforeToggle={place}>
        <strong>{props.label}</strong>
        {props.children}
      </div>
    </>
  );
}

/** A part of a whole as a bar. The text beside it says the same. */
export function Bar({ parts, of }: { parts: readonly { value: number; tone: string }[]; of: number }) {
  return (
    <span class="bar" aria-hidden="true">
      {parts.map((p) => (
        <span key={p.tone} class={p.tone} style={{ width: `${of > 0 ? Math.min(100, (100 * p.value) / of) : 0}%` }} />
      ))}
    </span>
  );
}

/** What stands where an answer is still to come. */
export function Waiting() {
  return (
    <p class="waiting" role="status">
      {t('loading')}
    </p>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

const statuses: Record<number, Key> = {
  0: 'error.network',
  401: 'error.401',
  403: 'error.403',
  404: 'error.404',
  409: 'error.409',
  410: 'error.410',
  429: 'error.429',
  501: 'error.501',
  503: 'error.503',
  504: 'error.504',
};

/** Why something could not be shown or done, and what helps. */
export function Failed({ problem, again }: { problem: Problem; again?: () => void }) {
  const key = statuses[problem.status];
  return (
    <div class="failed" role="alert">
      <p>
        <strong>{key ? t(key) : t('error.other', { status: String(problem.status) })}</strong>
      </p>
      {problem.detail && (
        <p>
          <Server>{problem.detail}</Server>
        </p>
      )}
      {problem.errors.map((e) => (
        <p key={e.location}>
          <code>{e.location}</code> <Server>{e.message ?? ''}</Server>
        </p>
      ))}
      {again && (
        <button type="button" onClick={again}>
          {t('again')}
        </button>
      )}
    </div>
  );
}
