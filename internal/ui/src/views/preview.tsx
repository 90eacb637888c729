import { useSignal, type Signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { address, ofKind, send, type Problem } from '../api/client';
import type { Change, InstanceChange, Kind, Plan, PlanDescription } from '../api/types';
import { refine, route } from '../data/route';
import { now } from '../data/store';
import { say, sayText } from '../data/times';
import { n, t, type Key } from '../i18n';
import { Bar, Empty, Failed, Server, word } from '../parts/basic';
import { Confirm } from '../parts/dialog';

const changes = ['spread', 'limits', 'size', 'endSize', 'drain', 'undrain', 'move', 'pin'] as const;
type What = (typeof changes)[number];

/** Which fields a change has; the names are those of the form. */
const fields: Record<What, readonly Field[]> = {
  spread: [],
  limits: ['maxInstances', 'resourcePerInstance', 'for'],
  size: ['size', 'for'],
  endSize: [],
  drain: ['instance', 'for'],
  undrain: ['instance'],
  move: ['resource', 'instance'],
  pin: ['resource', 'instance', 'for'],
};
type Field = 'maxInstances' | 'resourcePerInstance' | 'size' | 'instance' | 'resource' | 'for';
type Values = Record<Field, string>;

const optional: readonly Field[] = ['for', 'maxInstances', 'resourcePerInstance'];

/** The change that a form asks for. */
function changeOf(what: What, v: Values): Change {
  const until = v.for && fields[what].includes('for') ? { for: v.for } : {};
  const at = { resource: v.resource, instance: Number(v.instance) };
  switch (what) {
    case 'spread':
      return {};
    case 'limits':
      return {
        ...(v.maxInstances && { maxInstances: Number(v.maxInstances) }),
        ...(v.resourcePerInstance && { capacity: Number(v.resourcePerInstance) }),
        ...until,
      };
    case 'size':
      return { size: Number(v.size), ...until };
    case 'endSize':
      return { endSize: true };
    case 'drain':
      return { drain: Number(v.instance), ...until };
    case 'undrain':
      return { undrain: Number(v.instance) };
    case 'move':
      return { move: at };
    case 'pin':
      return { pin: at, ...until };
  }
}

/** Shows what a change would do before it is done, and applies it. */
export function Preview({ kind, done }: { kind: Kind; done: Signal<string> }) {
  const { query } = route.value;
  const what = changes.find((c) => c === query.get('what')) ?? 'spread';
  const values: Values = {
    maxInstances: '',
    resourcePerInstance: '',
    size: '',
    instance: '',
    resource: '',
    for: '',
    ...Object.fromEntries(query),
  };
  const plan = useSignal<Plan | undefined>(undefined);
  const problem = useSignal<Problem | undefined>(undefined);
  const busy = useSignal(false);
  const confirming = useSignal(false);
  const asked = JSON.stringify([kind.name, what, fields[what].map((f) => values[f])]);
  useEffect(() => {
    plan.value = undefined; // it is of another change
    problem.value = undefined;
  }, [asked]);

  const preview = async () => {
    if (busy.value) return;
    busy.value = true;
    problem.value = undefined;
    try {
      plan.value = await send<Plan>('POST', address(ofKind(kind.name, 'plans')), changeOf(what, values));
    } catch (err) {
      plan.value = undefined;
      problem.value = err as Problem;
    }
    busy.value = false;
  };
  const apply = async (p: Plan) => {
    await send('POST', address(ofKind(kind.name, 'apply')), { plan: p.id });
    done.value = t('done.apply', { summary: summary(p) });
    confirming.value = false;
    plan.value = undefined;
    document.getElementById('title')?.focus(); // what had the focus is gone; what was done is said below the title
  };

  return (
    <section aria-labelledby="preview" class="card">
      <h2 id="preview">{t('preview')}</h2>
      <p class="dim">{t('preview.is')}</p>
      <form
        class="filters"
        onSubmit={(e) => {
          e.preventDefault();
          void preview();
        }}
      >
        <label>
          {t('preview.what')}
          <select value={what} onChange={(e) => refine({ what: e.currentTarget.value })}>
            {changes.map((c) => (
              <option key={c} value={c}>
                {t(`change.${c}`)}
              </option>
            ))}
          </select>
        </label>
        {fields[what].map((f) => (
          <Input key={f} field={f} value={values[f]} kind={kind} />
        ))}
        <button type="submit" aria-disabled={busy.value}>
          {busy.value ? t('doing') : t('preview.do')}
        </button>
      </form>
      <div aria-live="polite">
        {problem.value && <Failed problem={problem.value} />}
        {plan.value && <Planned plan={plan.value} apply={() => (confirming.value = true)} />}
      </div>
      {confirming.value && plan.value && (
        <Confirm
          title={t('ask.apply')}
          verb={t('do.apply')}
          close={() => (confirming.value = false)}
          act={() => apply(plan.peek() as Plan)}
        >
          <p>{t(`will.${what}`, { ...values, kind: kind.name })}</p>
          <p>
            {summary(plan.value)} {plan.value.takes && t('plan.takes', { time: sayText(plan.value.takes) })}
          </p>
        </Confirm>
      )}
    </section>
  );
}

function Input({ field, value, kind }: { field: Field; value: string; kind: Kind }) {
  const text = field === 'resource' || field === 'for';
  const g = kind.groups[0];
  const hint: Partial<Record<Field, string>> = {
    for: '2h',
    maxInstances: String(g?.max ?? ''),
    resourcePerInstance: String(g?.capacity ?? ''),
  };
  const common = {
    value,
    required: !optional.includes(field),
    placeholder: hint[field],
    onInput: (e: { currentTarget: HTMLInputElement }) => refine({ [field]: e.currentTarget.value }),
  };
  return (
    <label>
      {t(`field.${field}`)}
      {text ? (
        <input type="text" maxLength={256} {...common} />
      ) : (
        <input type="number" min={field === 'instance' ? 0 : 1} {...common} />
      )}
    </label>
  );
}

/** How much moves, in one sentence. */
function summary(p: Plan): string {
  const size =
    p.size && p.size.before !== p.size.after ? t('plan.size', { before: p.size.before, after: p.size.after }) : '';
  return `${size} ${t('plan.moves', { n: p.plan.moves })}`.trim();
}

function Planned({ plan: p, apply }: { plan: Plan; apply: () => void }) {
  const left = Date.parse(p.expires) - now.value;
  return (
    <>
      <h3>{t('plan')}</h3>
      <p class="lead">{summary(p)}</p>
      {p.size && (
        <p>
          <Server>{p.size.why}</Server>
        </p>
      )}
      <Described plan={p.plan} />
      {p.then && (
        <>
          <h3>{t('plan.then')}</h3>
          <Described plan={p.then} />
        </>
      )}
      {p.takes && <p>{t('plan.takes', { time: sayText(p.takes) })}</p>}
      {p.waits && (
        <p>
          {t('plan.waits')} <Server>{p.waits}</Server>
        </p>
      )}
      {p.refused && (
        <p class="warn">
          <span aria-hidden="true">△ </span>
          {t('plan.refused')} <Server>{p.refused}</Server>
        </p>
      )}
      <p class="buttons">
        <button type="button" class="primary" aria-disabled={left <= 0} onClick={() => left > 0 && apply()}>
          {t('plan.apply')}
        </button>
        <span class="dim">{left > 0 ? t('plan.expires', { time: say(left) }) : t('plan.expired')}</span>
      </p>
    </>
  );
}

const most = 100; // rows of instances

function Described({ plan: d }: { plan: PlanDescription }) {
  const all = d.instances ?? [];
  const changed = all.filter((i) => i.in > 0 || i.out > 0 || i.before !== i.after);
  const whole = Math.max(1, ...all.map((i) => Math.max(i.before, i.after)));
  const notes: [Key, string][] = (d.notes ?? []).map((text) => ['plan.note', text]);
  return (
    <>
      <p>
        {t('plan.bound', { bound: d.bound })} <Server>{d.certificate}</Server>
      </p>
      {d.remaining > 0 && <p>{t('plan.remaining', { n: d.remaining })}</p>}
      {notes.map(([key, text]) => (
        <p key={text} class="warn">
          <span aria-hidden="true">△ </span>
          {t(key)} <Server>{text}</Server>
        </p>
      ))}
      {d.refused?.map((r) => (
        <p key={`${r.from} ${r.why}`} class="warn">
          <span aria-hidden="true">△ </span>
          {t('plan.refusedMoves', { n: r.count })} <Server>{r.meaning}</Server>
        </p>
      ))}
      {changed.length === 0 && <Empty>{t('plan.nothing')}</Empty>}
      {changed.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label={t('plan.table')}>
          <table class="plan">
            <caption>
              {t('plan.table')} {changed.length > most && t('plan.more', { n: changed.length - most })}
            </caption>
            <thead>
              <tr>
                <th scope="col">{t('column.ordinal')}</th>
                <th scope="col">{t('column.state')}</th>
                <th scope="col">{t('plan.before')}</th>
                <th scope="col">{t('plan.out')}</th>
                <th scope="col">{t('plan.in')}</th>
                <th scope="col">{t('plan.after')}</th>
              </tr>
            </thead>
            <tbody>
              {changed.slice(0, most).map((i) => (
                <Row key={i.ordinal} item={i} whole={whole} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

function Row({ item: i, whole }: { item: InstanceChange; whole: number }) {
  return (
    <tr>
      <th scope="row">{i.ordinal}</th>
      <td>{word('planState', i.state)}</td>
      <td>
        {n(i.before)} <Bar parts={[{ value: i.before, tone: 'dim' }]} of={whole} />
      </td>
      <td>{i.out ? `−${n(i.out)}` : ''}</td>
      <td>{i.in ? `+${n(i.in)}` : ''}</td>
      <td>
        {n(i.after)} <Bar parts={[{ value: i.after, tone: 'fill' }]} of={whole} />
      </td>
    </tr>
  );
}
