import { Type, type Static } from 'typebox'

/** The file that `kubectl-canary simulate` runs: a rollout told as a list of what happens when. Source of `docs/schemas/scenario.json`. */

const duration = (description: string) => Type.String({ pattern: '^(0|(\\d+(\\.\\d+)?(ms|s|m|h))+)$', description })
const at = duration('When it happens, from the start: `90s`, `1m30s`. Equal times keep their order.')
const arm = Type.Union([Type.Literal('canary'), Type.Literal('primary')])
const workload = Type.Union([Type.Literal('canary'), Type.Literal('primary'), Type.Literal('baseline')])
const values = Type.Record(Type.String(), Type.Union([Type.Number(), Type.Null(), Type.Literal('error')]), {
  description: 'By name of the metric: a value, null for no data, "error" for a source that is down. They hold until the next ones.',
})
const count = Type.Integer({ minimum: 0 })
const event = <T extends Parameters<typeof Type.Object>[0]>(name: string, fields: T) =>
  Type.Object({ at, do: Type.Literal(name), ...fields }, { additionalProperties: false })

export const SCENARIO_EVENTS = {
  setImage: event('setImage', { image: Type.String({ minLength: 1 }) }),
  metrics: event('metrics', { values, arm: Type.Optional(arm) }),
  hook: event('hook', { name: Type.String({ minLength: 1 }), answer: Type.Union([Type.Literal(200), Type.Literal(500), Type.Literal('timeout')]) }),
  annotate: event('annotate', {
    on: Type.Optional(Type.Union([Type.Literal('canary'), Type.Literal('target')])),
    set: Type.Record(Type.String(), Type.String(), { description: 'Annotations: `canarygate.dev/<command>` with the reason, or `flagger.app/promote: "true"`.' }),
  }),
  notReady: event('notReady', { workload }),
  ready: event('ready', { workload }),
  scale: event('scale', { replicas: count }),
  agentCrash: event('agentCrash', {}),
  apiDown: event('apiDown', { for: duration('How long.') }),
  routerLost: event('routerLost', {}),
  deleteCanary: event('deleteCanary', {}),
} as const

export const Scenario = Type.Object({
  image: Type.String({ minLength: 1, description: 'What serves at the start, adopted already.' }),
  replicas: Type.Optional(Type.Integer({ minimum: 0, default: 1 })),
  podStart: Type.Optional(duration('From asked to ready; 5s when left out.')),
  until: Type.Optional(duration('The run stops here, or when nothing is left to happen; 24h when left out.')),
  events: Type.Array(Type.Union(Object.values(SCENARIO_EVENTS))),
}, { additionalProperties: false })
export type Scenario = Static<typeof Scenario>

/** The schema for editors and other validators. */
export const scenarioJsonSchema = (): object => ({
  $schema: 'https://json-schema.org/draft/2020-12/schema', $id: 'https://canarygate.dev/schemas/scenario.json', title: 'CanaryGate scenario',
  ...JSON.parse(JSON.stringify(Scenario)) as object,
})
