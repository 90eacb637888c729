import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { address, ofKind, send } from '../api/client';
import type { AssumedDead, Instance, Kind, Load, ResourceList } from '../api/types';
import { useLoad } from '../data/load';
import { to } from '../data/route';
import { mode } from '../data/store';
import { n, t } from '../i18n';
import { Age, Bar, Empty, Failed, sayLag, Server, State, Title, Waiting, word } from '../parts/basic';
import { Confirm } from '../parts/dialog';
import { cores, mebibytes, use } from '../parts/rows';

export function InstanceView({ kind, ordinal }: { kind: Kind; ordinal: string }) {
  const [state] = useLoad<Instance>(address(ofKind(kind.name, `instances/${encodeURIComponent(ordinal)}`)), 2000);
  const { data: i, problem } = state.value;
  return (
    <>
      <p>
        <a href={to(['kinds', kind.name, 'instances'])}>{t('instances.back', { kind: kind.name })}</a>
      </p>
      <Title>{t('instance.title', { kind: kind.name, n: ordinal })}</Title>
      {problem && <Failed problem={problem} />}
      {!i && !problem && <Waiting />}
      {i && <Facts item={i} />}
      {i && mode === 'live' && (
        <p class="buttons">
          <a
            class="button"
            href={to(['kinds', kind.name, 'rebalance'], {
              what: i.drain ? 'undrain' : 'drain',
              instance: String(i.ordinal),
            })}
          >
            {i.drain ? t('instance.undrain') : t('instance.drain')}
          </a>
        </p>
      )}
      {i && mode === 'live' && (i.unproven || i.health.condition !== 'Healthy') && (
        <Reassign kind={kind.name} item={i} />
      )}
      {i && mode === 'live' && <Owned kind={kind.name} item={i} />}
    </>
  );
}

function Facts({ item: i }: { item: Instance }) {
  const { list } = i;
  return (
    <dl class="facts">
      <Fact name={t('column.state')}>
        <State prefix="state" code={i.state} /> <span class="dim">{word('stateIs', i.state)}</span>
      </Fact>
      <Fact name={t('column.health')}>
        {word('health', i.health.condition)}{' '}
        {i.health.by && <span class="dim">{t('health.by', { by: word('by', i.health.by) })}</span>}
        {i.health.text && (
          <p>
            <Server>{i.health.text}</Server>
          </p>
        )}
      </Fact>
      <Fact name={t('column.held')}>
        <Bar
          parts={[
            { value: list.count, tone: 'fill' },
            { value: list.inFlight ?? 0, tone: 'flight' },
          ]}
          of={list.capacity}
        />{' '}
        {t('of', { n: n(list.count), of: n(list.capacity) })}
        {!!list.inFlight && <span> {t('instance.flight', { n: list.inFlight })}</span>}
        {list.error && (
          <p class="bad">
            <Server>{list.error}</Server>
          </p>
        )}
      </Fact>
      <Fact name={t('column.cpu')}>{load(i.cpu, cores)}</Fact>
      <Fact name={t('column.memory')}>{load(i.memory, mebibytes)}</Fact>
      <Fact name={t('column.lag')}>{sayLag(i)}</Fact>
      <Fact name={t('pod')}>{i.pod ?? t('none')}</Fact>
      <Fact name={t('column.node')}>
        {i.node ? <a href={to(['find'], { q: i.node, for: 'node' })}>{i.node}</a> : t('none')}
      </Fact>
      {i.started && (
        <Fact name={t('started')}>
          <Age at={i.started} /> {!!i.restarts && t('restarts', { n: i.restarts })}
        </Fact>
      )}
      {i.drain && (
        <Fact name={t('drainedBy')}>
          {i.drain.by} <Age at={i.drain.at} />
          {i.drainWaits && (
            <p>
              <Server>{i.drainWaits}</Server>
            </p>
          )}
        </Fact>
      )}
      {i.notAcknowledging && (
        <Fact name={t('mute')}>
          <Server>{i.notAcknowledging}</Server>
        </Fact>
      )}
      {i.unproven && (
        <Fact name={t('unproven')}>
          <Server>{i.unproven}</Server>
        </Fact>
      )}
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function load(l: Load | undefined, amount: (value: number) => string) {
  if (!l) return t('unknown');
  if (l.missing) return <Server>{l.missing}</Server>;
  return (
    <>
      {amount(l.usage)} {l.ratio !== undefined && t('load.target', { ratio: use(l, amount) })} <Age at={l.at} />
    </>
  );
}

/** What a person may say of an instance that does not seem to live: that its pod runs nothing any more. */
function Reassign({ kind, item: i }: { kind: string; item: Instance }) {
  const asking = useSignal(false);
  const done = useSignal('');
  const params = { kind, instance: String(i.ordinal), pod: i.pod ?? `${i.statefulSet}-${i.ordinal}`, n: i.list.count };
  return (
    <section aria-labelledby="reassign" class="card grave">
      <h2 id="reassign">{t('reassign')}</h2>
      <p>{t('reassign.is')}</p>
      <p class="buttons">
        <button type="button" onClick={() => (asking.value = true)}>
          {t('reassign.open')}
        </button>
      </p>
      <p role="status" class="good">
        {done.value}
      </p>
      {asking.value && (
        <Confirm
          title={t('ask.reassign', params)}
          verb={t('do.reassign')}
          sure={t('sure.reassign', params)}
          close={() => (asking.value = false)}
          act={async () => {
            const body = { instance: i.ordinal, assumeDead: true };
            const said = await send<AssumedDead>('POST', address(ofKind(kind, 'reassign')), body);
            done.value = t('done.reassign', { n: said.left, pod: said.pod });
          }}
        >
          <p>{t('will.reassign', params)}</p>
          <p class="warn">
            <span aria-hidden="true">▲ </span>
            {t('risk.reassign')}
          </p>
        </Confirm>
      )}
    </section>
  );
}

function Owned({ kind, item }: { kind: string; item: Instance }) {
  const [state] = useLoad<ResourceList>(address(ofKind(kind, 'resources'), { instance: item.ordinal, limit: 100 }));
  const { data, problem } = state.value;
  return (
    <section aria-labelledby="owned">
      <h2 id="owned">{t('owned')}</h2>
      {problem && <Failed problem={problem} />}
      {!data && !problem && <Waiting />}
      {data?.items.length === 0 && <Empty>{t('owned.none')}</Empty>}
      {data && data.items.length > 0 && (
        <>
          <ul class="ids">
            {data.items.map((r) => (
              <li key={r.id}>
                <a href={to(['find'], { kind, q: r.id })}>{r.id}</a>
              </li>
            ))}
          </ul>
          {data.continue && <p class="dim">{t('owned.more', { n: data.items.length, of: item.list.count })}</p>}
        </>
      )}
    </section>
  );
}
