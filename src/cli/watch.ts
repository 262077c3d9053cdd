import type { Canary } from '#api/canary.ts'
import { FLAGGER_API_VERSION } from '#api/names.ts'
import { connect } from '#cli/cluster.ts'
import { InputError } from '#cli/input.ts'
import type { KubeClient } from '#kube/client.ts'

export type WatchOptions = {
  readonly name: string
  readonly namespace: string
  readonly kubeconfig: string | undefined
  readonly timeoutMs: number
  readonly out: (text: string) => void
}

const RESTING: ReadonlySet<string> = new Set(['Initialized', 'Succeeded', 'Failed'])

/** Prints each change of a Canary, one line each, until its run has ended. Answers 0 when what was asked for serves, 1 when it does not. */
export async function watchCanary({ name, namespace, kubeconfig, timeoutMs, out }: WatchOptions): Promise<number> {
  const client = await connect(kubeconfig)
  const ending = new AbortController()
  const timer = setTimeout(() => ending.abort(), timeoutMs)
  try {
    const { items, resourceVersion } = await client.list<Canary>(FLAGGER_API_VERSION, 'Canary', { namespace })
    const first = items.find(({ metadata }) => metadata.name === name)
    if (!first) throw new InputError(`no Canary ${name} in namespace ${namespace}`)
    return await follow(client, first, resourceVersion, ending.signal, out)
  } catch (err) {
    if (ending.signal.aborted) throw new InputError(`the run had not ended after ${Math.round(timeoutMs / 1_000)} s: give it longer with --timeout`)
    throw err
  } finally {
    clearTimeout(timer)
    ending.abort()
    await client.close()
  }
}

async function follow(client: KubeClient, first: Canary, resourceVersion: string, signal: AbortSignal, out: (text: string) => void): Promise<number> {
  const { name, namespace = '' } = first.metadata
  let line = tell(first, '', out)
  if (hasEnded(first)) return verdict(first)
  // The server ends a watch now and then: it is opened again where it was.
  for (let from = resourceVersion; ;) {
    for await (const event of client.watch(FLAGGER_API_VERSION, 'Canary', { namespace, resourceVersion: from, signal })) {
      if (event.type === 'BOOKMARK') from = event.resourceVersion
      if (!('object' in event)) continue
      from = event.object.metadata.resourceVersion ?? from
      if (event.object.metadata.name !== name) continue
      const canary = event.object as Canary
      if (event.type === 'DELETED') throw new InputError(`Canary ${name} was deleted`)
      line = tell(canary, line, out)
      if (hasEnded(canary)) return verdict(canary)
    }
  }
}

/** What is known of a run, in a line. */
export function lineOf({ metadata, status }: Canary): string {
  const { phase = 'Initializing', canaryWeight = 0, failedChecks = 0, gate } = status ?? {}
  const failed = failedChecks > 0 ? `, ${failedChecks} failed check${failedChecks === 1 ? '' : 's'}` : ''
  const served = gate?.effectiveWeight === undefined ? '' : ` (served as ${gate.effectiveWeight} %)`
  return `${metadata.name}: ${phase}, weight ${canaryWeight} %${served}${failed}${gate?.reason ? `; ${gate.reason}` : ''}`
}

function tell(canary: Canary, last: string, out: (text: string) => void): string {
  const line = lineOf(canary)
  if (line !== last) out(`${line}\n`)
  return line
}

const hasEnded = ({ status }: Canary): boolean => RESTING.has(status?.phase ?? '')
const verdict = ({ status }: Canary): number => (status?.phase === 'Failed' ? 1 : 0)
