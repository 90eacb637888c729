import { address, ofKind } from '../api/client';
import type { Answer, Decision, Kind, Report, Signal } from '../api/types';
import { useLoad } from '../data/load';
import { to } from '../data/route';
import { n, t } from '../i18n';
import { Age, Bar, Empty, Failed, Server, State, Title, Waiting, word } from '../parts/basic';

/** Why a kind has its size; past is the id of a decision of its history. */
export function Why({ kind, past }: { kind: Kind; past: string | undefined }) {
  const [state] = useLoad<Decision>(
    address(ofKind(kind.name, past ? `history/${encodeURIComponent(past)}` : 'decision')),
    past ? 0 : 5000,
  );
  const { data, problem } = state.value;
  const d = data?.decision;
  return (
    <>
      <Title>{t('why.title', { kind: kind.name })}</Title>
      {past && <p class="note">{t('why.then')}</p>}
      {problem && <Failed problem={problem} />}
      {!data && !problem && <Waiting />}
      {data && !d && <Empty>{t('why.empty')}</Empty>}
      {data && d && <Explained decision={data} report={d} kind={kind.name} />}
    </>
  );
}

/** A decision with its whole explanation, the latest or one of the history. */
export function Explained({ decision, report: d, kind }: { decision: Decision; report: Report; kind: string }) {
  return (
    <>
      <p class="lead">
        <State code={d.verb} /> <Server>{d.summary}</Server>
        <span class="dim">
          {' '}
          <Age at={d.at} />
        </span>
      </p>
      {d.blind === undefined && <Tree d={d} kind={kind} />}
      <section aria-labelledby="answers">
        <h2 id="answers">{t('answers')}</h2>
        <dl class="answers">
          {decision.explanation.answers.map((a) => (
            <AnswerItem key={a.question} answer={a} />
          ))}
        </dl>
      </section>
      {decision.explanation.otherwise.length > 0 && (
        <section aria-labelledby="otherwise">
          <h2 id="otherwise">{t('otherwise')}</h2>
          <ul class="points">
            {decision.explanation.otherwise.map((a) => (
              <li key={a.code + a.text}>
                <Server>{a.text}</Server>
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  );
}

function AnswerItem({ answer: a }: { answer: Answer }) {
  return (
    <div class={a.applies ? 'applies' : ''}>
      <dt>
        {word('question', a.question)} <span class="chip">{a.applies ? t('applies') : t('appliesNot')}</span>
      </dt>
      <dd>
        <Server>{a.text}</Server>
      </dd>
    </div>
  );
}

/** The way of the size: what the signals propose, what is needed of it, what limits it, what comes out. */
function Tree({ d, kind }: { d: Report; kind: string }) {
  const signals = d.signals ?? [];
  const limits = d.limits ?? [];
  const holds = d.holds ?? [];
  const most = Math.max(1, d.max, ...signals.map((s) => s.proposed));
  return (
    <ol class="tree">
      <li>
        <h2>{t('tree.signals')}</h2>
        <ul>
          {signals.map((s) => (
            <SignalItem key={s.name} signal={s} most={most} decides={s.proposed === d.wanted && !s.missing} />
          ))}
        </ul>
        {d.hot?.map((h) => (
          <p key={h.ordinal} class="warn">
            <span aria-hidden="true">▲ </span>
            <a href={to(['kinds', kind, 'instances', String(h.ordinal)])}>
              {t('instance.n', { n: String(h.ordinal) })}
            </a>{' '}
            {t('hot', { signal: word('signal', h.signal), ratio: h.ratio })}
          </p>
        ))}
      </li>
      <li>
        <h2>{t('tree.needed')}</h2>
        <p class="large">{n(d.wanted)}</p>
        <p class="dim">{t('tree.bounds', { init: d.init, max: d.max })}</p>
        <p class="dim">{t('tree.floor', { floor: d.floor, n: d.resources, target: d.targetPerInstance })}</p>
      </li>
      <li>
        <h2>{t('tree.limits')}</h2>
        {limits.length === 0 && <p class="dim">{t('tree.nolimits')}</p>}
        <ul>
          {limits.map((l) => (
            <li key={l.by + l.text}>
              <strong>{word('reason', l.by)}</strong> {t('tree.fromto', { from: l.from, to: l.to })}
              <p>
                <Server>{l.text}</Server>
              </p>
            </li>
          ))}
        </ul>
        {holds.length > 0 && (
          <>
            <h3>{t('tree.holds')}</h3>
            <ul>
              {holds.map((h) => (
                <li key={h.by + h.text}>
                  <strong>{word('reason', h.by)}</strong>{' '}
                  <p>
                    <Server>{h.text}</Server>
                  </p>
                </li>
              ))}
            </ul>
          </>
        )}
      </li>
      <li>
        <h2>{t('tree.size')}</h2>
        <p class="large">{n(d.desired)}</p>
        <p class="dim">{t('tree.current', { n: d.current ?? 0 })}</p>
        <p class="dim">
          {d.recommended === undefined ? (
            <Server>{d.recommendedUnknown ?? ''}</Server>
          ) : (
            t('tree.recommended', { n: d.recommended })
          )}
        </p>
        <p class="dim">{t('tree.owner', { owner: word('owner', d.owner) })}</p>
        {d.act?.text && (
          <p>
            <Server>{d.act.text}</Server>
          </p>
        )}
      </li>
    </ol>
  );
}

function SignalItem({ signal: s, most, decides }: { signal: Signal; most: number; decides: boolean }) {
  return (
    <li class={decides ? 'decides' : ''}>
      <strong>{word('signal', s.name)}</strong>{' '}
      {s.missing ? (
        <span class="warn">
          <span aria-hidden="true">△ </span>
          {t('signal.missing')} <Server>{s.missing}</Server>
        </span>
      ) : (
        <>
          {t('signal.asks', { n: s.proposed })} {decides && <span class="chip">{t('signal.decides')}</span>}
          {s.within && <span class="chip">{t('signal.within')}</span>}
          <Bar parts={[{ value: s.proposed, tone: decides ? 'fill' : 'dim' }]} of={most} />
          <span class="dim">
            {t('signal.computed', { need: s.need })} <Server>{s.inputs}</Server>
          </span>
        </>
      )}
      {s.ignored && s.ignored.length > 0 && (
        <details>
          <summary>{t('signal.ignored', { n: s.ignored.length })}</summary>
          <ul>
            {s.ignored.map((text) => (
              <li key={text}>
                <Server>{text}</Server>
              </li>
            ))}
          </ul>
        </details>
      )}
    </li>
  );
}
