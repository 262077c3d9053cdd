import { readFileSync } from 'node:fs'
import { parseAllDocuments } from 'yaml'
import type { CanarySpec } from '#api/canary.ts'
import { COMMANDS } from '#api/names.ts'
import { excessOf } from '#rollout/plan.ts'

/** What was given cannot be used: the message names the field and the way out. Exit code 2. */
export class InputError extends Error {}

export type CanaryInput = { readonly name: string; readonly namespace: string; readonly spec: CanarySpec }

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value)

/** What the YAML parser says, without its picture of the place, to which a colon leads. */
export const yamlWords = ({ message }: Error): string => (message.split('\n')[0] ?? '').replace(/:$/, '')

export function readText(path: string): string {
  try {
    return readFileSync(path === '-' ? 0 : path, 'utf8')
  } catch (err) {
    throw new InputError(`${path}: cannot be read (${err instanceof Error && 'code' in err ? String(err.code) : 'unknown'})`, { cause: err })
  }
}

export function readYaml(path: string): readonly unknown[] {
  return parseAllDocuments(readText(path)).map((document) => {
    const [error] = document.errors
    if (error) throw new InputError(`${path}: ${yamlWords(error)}`)
    try {
      return document.toJS() as unknown
    } catch (err) {
      throw new InputError(`${path}: ${err instanceof Error ? err.message : String(err)}`, { cause: err })
    }
  })
}

/** The one Canary of a file; other objects in it are passed over. */
export function readCanary(path: string, name?: string): CanaryInput {
  const canaries = readYaml(path).filter((found): found is Readonly<Record<string, unknown>> => isRecord(found) && found['kind'] === 'Canary')
  const named = name === undefined ? canaries : canaries.filter(({ metadata }) => isRecord(metadata) && metadata['name'] === name)
  const [canary, another] = named
  if (!canary) throw new InputError(`${path}: no object of kind Canary${name === undefined ? '' : ` named ${name}`} in it`)
  if (another) throw new InputError(`${path}: ${named.length} Canaries in it; choose one with --name`)
  return { ...namesOf(canary, path), spec: specOf(canary, path) }
}

function namesOf({ metadata }: Readonly<Record<string, unknown>>, path: string): { name: string; namespace: string } {
  if (!isRecord(metadata) || typeof metadata['name'] !== 'string') throw new InputError(`${path}: metadata.name: missing; a Canary needs a name`)
  return { name: metadata['name'], namespace: typeof metadata['namespace'] === 'string' ? metadata['namespace'] : 'default' }
}

/** Fields that the core counts with. The rest is admission's and the API server's business: `kubectl-canary lint` tells. */
const WHOLE = ['threshold', 'maxWeight', 'stepWeight', 'stepWeightPromotion', 'iterations'] as const
const LISTS = ['stepWeights', 'metrics', 'webhooks', 'match'] as const
const INTERVAL = /^[0-9]+(m|s)/

function specOf({ spec }: Readonly<Record<string, unknown>>, path: string): CanarySpec {
  const fail = (field: string, words: string): never => { throw new InputError(`${path}: spec.${field}: ${words}`) }
  if (!isRecord(spec)) throw new InputError(`${path}: spec: missing`)
  const { targetRef, analysis, gate } = spec
  if (!isRecord(targetRef) || typeof targetRef['name'] !== 'string') return fail('targetRef.name', 'missing; name the Deployment that is released')
  if (!isRecord(analysis)) return fail('analysis', 'missing; give stepWeight and maxWeight, stepWeights, or iterations')
  for (const field of WHOLE) if (analysis[field] !== undefined && !Number.isInteger(analysis[field])) fail(`analysis.${field}`, `${JSON.stringify(analysis[field])} is no whole number`)
  for (const field of LISTS) if (analysis[field] !== undefined && !Array.isArray(analysis[field])) fail(`analysis.${field}`, 'must be a list')
  const excess = excessOf(spec as CanarySpec)
  if (excess) throw new InputError(`${path}: spec.${excess}`)
  const { interval, stepWeights } = analysis
  if (interval !== undefined && (typeof interval !== 'string' || !INTERVAL.test(interval))) fail('analysis.interval', `${JSON.stringify(interval)} is no duration; write 30s or 1m`)
  if (Array.isArray(stepWeights) && !stepWeights.every(Number.isInteger)) fail('analysis.stepWeights', 'every weight must be a whole number')
  if (isRecord(gate) && gate['steps'] !== undefined) {
    if (!Array.isArray(gate['steps'])) fail('gate.steps', 'must be a list')
    for (const [i, step] of (gate['steps'] as unknown[]).entries()) {
      if (!isRecord(step) || !Number.isInteger(step['weight'])) fail(`gate.steps[${i}].weight`, 'must be a whole number from 1 to 100')
    }
  }
  return spec as CanarySpec
}

export const KNOWN_ANNOTATIONS: readonly string[] = [...COMMANDS.map((command) => `canarygate.dev/${command}`), 'flagger.app/promote']
