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
export type NodeInstances = Documents['NodeInstances'];
export type Signal = Documents['Signal'];
export type Report = Documents['Decision'];
export type Answer = Documents['Answer'];
export type Decision = Documents['ExplainedDecision'];
export type Resource = Documents['Resource'];
export type ResourceList = Documents['ResourceList'];
export type Change = Documents['Change'];
export type InstanceChange = Documents['InstanceChange'];
export type PlanDescription = Documents['Description'];
export type Plan = Documents['Plan'];

// The history is not in that document yet: these are internal/ops/history.go.

export interface Sample {
  replicas: number;
  ready: number;
  desired: number;
  resources: number;
  unassigned: number;
  inFlight: number;
  signals?: Record<string, number>;
  worstLag?: string;
}

export interface Entry {
  id: string;
  at: string;
  type: 'sample' | 'decision' | 'moves' | 'change' | 'gap';
  until?: string;
  sample?: Sample;
  decision?: {
    verb: string;
    reason: string;
    summary: string;
    current?: number;
    desired: number;
    done?: string;
    whole?: boolean;
  };
  gap?: { reason: string; text: string; lost?: number };
  moves?: { planId?: string; reason: string; count: number };
  change?: { by: string; what: string; before?: string; after?: string };
}

export interface EntryList {
  items: Entry[];
  since?: string;
  continue?: string;
}
