import { address, ofKind, type Problem } from '../api/client';
import type { Kind, Setting, Settings } from '../api/types';
import { useLoad } from '../data/load';
import { refine, route } from '../data/route';
import { mode, now } from '../data/store';
import { say } from '../data/times';
import { n, t } from '../i18n';
import { Age, Empty, Failed, Server, Title, Waiting, word } from '../parts/basic';

const sources = ['override', 'ConfigMap', 'default'] as const;

/** The configuration in force: each value, where it comes from, and who put it over the ConfigMap's. */
export function Config({ kind }: { kind: Kind }) {
  const [state] = useLoad<Settings>(address(ofKind(kind.name, 'config')), 5000);
  const { data, problem } = state.value;
  const only = route.value.query.get('source') ?? '';
  const shown = data?.items.filter((s) => !only || s.source === only) ?? [];
  return (
    <>
      <Title>{t('config.title', { kind: kind.name })}</Title>
      {problem && (notSaved(problem) ? <Empty>{t('config.notSaved')}</Empty> : <Failed problem={problem} />)}
      {!data && !problem && <Waiting />}
      {data?.refused && (
        <p class="warn">
          <span aria-hidden="true">△ </span>
          {t('config.refused')} <Server>{data.refused}</Server>
        </p>
      )}
      {data && (
        <>
          <p class="dim">
            {t('config.generation', { version: data.version ?? t('unknown') })}{' '}
            {data.loadedAt && <Age at={data.loadedAt} />}
          </p>
          <form class="filters" onSubmit={(e) => e.preventDefault()}>
            <label>
              {t('config.source')}
              <select value={only} onChange={(e) => refine({ source: e.currentTarget.value })}>
                <option value="">{t('all')}</option>
                {sources.map((s) => (
                  <option key={s} value={s}>
                    {word('from', s)}
                  </option>
                ))}
              </select>
            </label>
            <p class="count" aria-live="polite">
              {t('config.count', { n: shown.length, of: data.items.length })}
            </p>
          </form>
          {shown.length === 0 && <Empty>{t('config.none')}</Empty>}
          {shown.length > 0 && <Table items={shown} />}
        </>
      )}
    </>
  );
}

/** Files of older builds lack the configuration. */
function notSaved(problem: Problem): boolean {
  return mode === 'snapshot' && problem.status === 501;
}

function Table({ items }: { items: Setting[] }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={t('config.table')}>
      <table>
        <caption class="hidden">{t('config.table')}</caption>
        <thead>
          <tr>
            <th scope="col">{t('config.path')}</th>
            <th scope="col">{t('config.value')}</th>
            <th scope="col">{t('config.source')}</th>
            <th scope="col">{t('config.said')}</th>
          </tr>
        </thead>
        <tbody>
          {items.map((s) => (
            <Row key={s.path} setting={s} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ setting: s }: { setting: Setting }) {
  const over = s.source === 'override';
  return (
    <tr class={over ? 'over' : ''}>
      <th scope="row">
        <code>{s.path}</code>
      </th>
      <td>{written(s.value)}</td>
      <td class={s.source === 'default' ? 'dim' : ''}>
        {over && <span aria-hidden="true">◆ </span>}
        {word('from', s.source)}
      </td>
      <td>
        {over && t('config.instead', { value: written(s.configured) })} {s.by && t('standing.by', { by: s.by })}{' '}
        {s.at && <Age at={s.at} />} {s.until && t('standing.until', { time: say(Date.parse(s.until) - now.value) })}
      </td>
    </tr>
  );
}

/** A value as a person writes it; what is off has no value. */
function written(value: unknown): string {
  if (value === null || value === undefined) return t('config.off');
  if (typeof value === 'string') return value || '""';
  return typeof value === 'number' ? n(value) : JSON.stringify(value);
}
