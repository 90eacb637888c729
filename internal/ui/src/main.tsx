import { render } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import './style.css';
import { followRoutes, route } from './data/route';
import { kindNamed, kinds, link, listen, mode } from './data/store';
import { preferred, t, use } from './i18n';
import { Empty, Failed, Title, Waiting } from './parts/basic';
import { Problem } from './api/client';
import { Shell } from './parts/shell';
import { keepStill } from './parts/still';
import './parts/theme';
import { keepAsking, stranger } from './data/session';
import { SignIn } from './views/signin';
import { Overview } from './views/overview';
import { Instances } from './views/instances';
import { InstanceView } from './views/instance';
import { Why } from './views/why';
import { Find } from './views/find';
import { Rebalance } from './views/rebalance';
import { Timeline } from './views/timeline';
import { Config } from './views/config';

function View() {
  const [first, name = '', view, item] = route.value.path;
  if (first === 'signin') return <SignIn />;
  if (kinds.value === undefined) {
    if (stranger.value !== undefined || link.value.status === 401) return <SignIn />;
    if (link.value.state !== 'lost') return <Waiting />;
    return <Failed problem={new Problem(link.value.status ?? 0, '', '')} />;
  }
  if (first === 'find') return <Find />;
  if (first !== 'kinds') return <Overview />;
  const kind = kindNamed(name);
  if (!kind) return <Missing />;
  if (view === 'why') return <Why key={name + (item ?? '')} kind={kind} past={item} />;
  if (view === 'config') return <Config key={name} kind={kind} />;
  if (view === 'timeline' || view === 'rebalance') {
    if (mode === 'snapshot') return <ReadOnly />;
    return view === 'timeline' ? <Timeline key={name} kind={kind} /> : <Rebalance key={name} kind={kind} />;
  }
  if (view === 'instances' && item !== undefined) return <InstanceView key={name + item} kind={kind} ordinal={item} />;
  return <Instances key={name} kind={kind} />;
}

function Missing() {
  return (
    <>
      <Title>{t('missing.title')}</Title>
      <Empty>{t('missing.text')}</Empty>
    </>
  );
}

function ReadOnly() {
  return (
    <>
      <Title>{t('snapshot')}</Title>
      <Empty>{t('readonly')}</Empty>
    </>
  );
}

function App() {
  const { path } = route.value;
  const at = path.join('/');
  const before = useRef(at);
  useEffect(() => {
    const title = document.getElementById('title');
    document.title = title ? `${title.textContent} – shardscaler` : 'shardscaler';
    if (before.current !== at) {
      title?.focus();
      scrollTo(0, 0);
    }
    before.current = at;
  }, [at, kinds.value === undefined, stranger.value]);
  return (
    <Shell>
      <View />
    </Shell>
  );
}

followRoutes();
keepStill();
listen();
void use(preferred()).then(() => {
  const root = document.getElementById('app');
  if (root) render(<App />, root);
  keepAsking();
});
