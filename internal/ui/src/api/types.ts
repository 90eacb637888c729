// The documents of the API as this page reads them. schema.d.ts is made from docs/openapi.json by `npm run generate`.
import type { components } from './schema';

type Documents = components['schemas'];

export type Kind = Documents['Kind'];
export type KindList = Documents['KindList'];
export type Group = Documents['Group'];
export type Alarm = Documents['Alarm'];
export type Source = Documents['Source'];
export type Override = Documents['Override'];
export type WaitingSet = Documents['Set'];
export type Load = Documents['Load'];
export type Instance = Documents['Instance'];
export type InstanceList = Documents['InstanceList'];
export type Signal = Documents['Signal'];
export type Report = Documents['Decision'];
export type Answer = Documents['Answer'];
export type Decision = Documents['ExplainedDecision'];
export type Resource = Documents['Resource'];
export type ResourceList = Documents['ResourceList'];
export type AssumedDead = Documents['AssumedDead'];
export type Change = Documents['Change'];
export type InstanceChange = Documents['InstanceChange'];
export type PlanDescription = Documents['Description'];
export type Plan = Documents['Plan'];
export type Entry = Documents['Entry'];
export type EntryList = Documents['EntryList'];
export type Setting = Documents['Setting'];
export type Settings = Documents['Settings'];
export type Session = Documents['Session'];
