// The documents of internal/ops as this page reads them.

export interface Said {
  by?: string;
  at?: string;
  until?: string;
}

export interface Group {
  statefulSet: string;
  namespace: string;
  start: number;
  replicas?: number;
  ready?: number;
  desired?: number;
  needed?: number;
  recommended?: number;
  init: number;
  max: number;
  capacity: number;
  targetPerInstance: number;
  owner: string;
  mode?: string;
  open: string;
}

export interface Resources {
  total: number;
  assigned: number;
  inFlight: number;
  unassigned: number;
  catalogue?: number;
  excess?: number;
}

export interface Alarm {
  name: string;
  severity: 'critical' | 'warning' | 'info';
  text: string;
  cure: string;
  since?: string;
  ordinals?: number[];
  params?: Record<string, string>;
}

export interface Source {
  name: string;
  at?: string;
  age?: string;
  error?: string;
  since?: string;
}

export interface Override extends Said {
  what: string;
  value?: number;
  instance?: number;
  resource?: string;
}

export interface Refused {
  from: number;
  why: string;
  pin?: string;
  meaning: string;
  count: number;
  examples: string[];
}

export interface Progress {
  refused?: string;
  draining?: Record<string, number>;
  planId?: string;
  reason?: string;
  why?: string;
  begun?: string;
  moves?: number;
  done?: number;
  acknowledged?: number;
  left?: number;
  beyond?: number;
  perMinute?: number;
  estimatedEnd?: string;
  moved: number;
  alarm?: string;
  blocked?: string;
  parked?: Refused[];
}

export interface Drain {
  phase: string;
  ordinals: number[];
  since?: string;
  left: number;
  taken?: boolean;
  blocked?: string;
  blockedSince?: string;
}

export interface WaitingSet {
  set: number;
  count: number;
  known: number;
  share: number;
  since?: string;
}

export interface Waiting {
  count: number;
  known: number;
  share: number;
  since?: string;
  sets?: WaitingSet[];
}

export interface Kind {
  name: string;
  at: string;
  groups: Group[];
  verb?: string;
  reason?: string;
  why: string;
  blind?: string;
  resources?: Resources;
  worstLag?: { instance: number; lag: string };
  alarms: Alarm[];
  paused: Said & { value: boolean; source: string; sizes?: boolean };
  overrides: Override[];
  progress: Progress;
  drain?: Drain;
  waiting?: Waiting;
  sources: Source[];
  epoch?: number;
  generation: number;
}

export interface KindList {
  items: Kind[];
}

export interface Load {
  usage: number;
  request?: number;
  ratio?: number;
  at?: string;
  missing?: string;
}

export interface Instance {
  kind: string;
  ordinal: number;
  statefulSet: string;
  pod?: string;
  uid?: string;
  node?: string;
  state: string;
  health: { condition: string; by: string; text?: string };
  list: {
    count: number;
    capacity: number;
    inFlight?: number;
    weight?: number;
    changed?: string;
    error?: string;
  };
  cpu?: Load;
  memory?: Load;
  lag?: string;
  beat?: string;
  notAcknowledging?: string;
  drain?: Said;
  unproven?: string;
  started?: string;
  restarts?: number;
}

export interface InstanceList {
  items: Instance[];
  total: number;
  all: number;
  continue?: string;
}

export interface NodeInstances {
  node: string;
  items: Instance[];
}

export interface Signal {
  name: string;
  proposed: number;
  need: number;
  ratio?: number;
  within?: boolean;
  missing?: string;
  inputs: string;
  ignored?: string[];
}

export interface Limit {
  by: string;
  from: number;
  to: number;
  text: string;
}

export interface Report {
  kind: string;
  statefulSet: string;
  at?: string;
  owner: string;
  mode?: string;
  verb: string;
  reason: string;
  summary: string;
  blind?: string;
  current?: number;
  start?: number;
  wanted: number;
  desired: number;
  recommended?: number;
  recommendedUnknown?: string;
  own: number;
  floor: number;
  resources: number;
  targetPerInstance: number;
  capacity: number;
  init: number;
  max: number;
  excess?: number;
  signals?: Signal[];
  hot?: { ordinal: number; ratio: number; signal: string; relief: string }[];
  limits?: Limit[];
  holds?: { by: string; text: string }[];
  drain?: Drain;
  act?: { dryRun?: boolean; done?: string; text?: string };
}

export interface Answer {
  question: string;
  code: string;
  params?: Record<string, string>;
  text: string;
  applies: boolean;
}

export interface Decision {
  id?: string;
  decision?: Report;
  explanation: { answers: Answer[]; otherwise: Answer[] };
}

export interface Move {
  id: string;
  at: string;
  from: number;
  to: number;
  why: string;
}

export interface Resource {
  id: string;
  instance?: number;
  pod?: string;
  node?: string;
  place: 'list' | 'pool' | 'flight';
  from?: number;
  since?: string;
  why: string;
  parked?: string;
  pin?: Said & { resource: string; instance: number };
  moves: Move[];
  keptSince?: string;
}

export interface ResourceList {
  items: { id: string; instance: number }[];
  continue?: string;
}

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

export interface PinRequest {
  resource: string;
  instance: number;
}

export interface Change {
  size?: number;
  drain?: number;
  undrain?: number;
  capacity?: number;
  maxInstances?: number;
  pin?: PinRequest;
  move?: PinRequest;
  for?: string;
}

export interface InstanceChange {
  ordinal: number;
  state: string;
  before: number;
  in: number;
  out: number;
  after: number;
  target: number;
}

export interface PlanDescription {
  id: string;
  regime: string;
  balance: string;
  summary: string;
  certificate: string;
  moves: number;
  voluntary: number;
  remaining: number;
  bound: number;
  exact: boolean;
  instances: InstanceChange[];
  flows?: { from: number; to: number; why: string; count: number }[];
  refused?: Refused[];
  notes?: string[];
}

export interface Plan {
  id: string;
  change: Change;
  made: string;
  expires: string;
  size?: { before: number; after: number; why: string };
  plan: PlanDescription;
  then?: PlanDescription;
  takes?: string;
  waits?: string;
  refused?: string;
}
