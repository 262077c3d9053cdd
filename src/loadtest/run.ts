import type { Plan, Step } from '#loadtest/command.ts'
import { runFetch, type Fetched } from '#loadtest/fetch.ts'
import { runHealthProbe } from '#loadtest/health.ts'
import type { LoadPlan } from '#loadtest/hey.ts'
import { describeLoad, runLoad, type LoadResult, type RunContext } from '#loadtest/load.ts'

/** Runs a command that was understood before. */

export type CommandResult = {
  readonly ok: boolean
  readonly output: string
  readonly error: string
  readonly loads: readonly LoadResult[]
}

/** Steps in order; the first that fails ends it. Never rejects. */
export async function runCommand(steps: readonly Step[], context: RunContext, signal: AbortSignal): Promise<CommandResult> {
  const outputs: string[] = []
  const loads: LoadResult[] = []
  for (const { plan, filters, quiet } of steps) {
    let output: string
    if (plan.kind === 'load') {
      const load = await runLoad(plan, context, signal)
      loads.push(load)
      output = describeLoad(load)
    } else {
      const { ok, output: body, error } = await runCheck(plan, context, signal)
      // As in a shell, the last of a pipe decides; a filter finds nothing in no output, so the request's own words are kept.
      if (!ok && filters.length === 0) return { ok, output: [...outputs, body].join('\n'), error, loads }
      if (!ok && error !== '') outputs.push(error)
      output = body
    }
    if (filters.length > 0) {
      const lines = filters.reduce((left, { matches }) => left.filter(matches), linesOf(output))
      if (lines.length === 0) return { ok: false, output: outputs.join('\n'), error: 'grep found nothing', loads }
      output = lines.join('\n')
    }
    if (!quiet && output !== '') outputs.push(output)
    if (signal.aborted) return { ok: false, output: outputs.join('\n'), error: 'given up at the deadline', loads }
  }
  return { ok: true, output: outputs.join('\n'), error: '', loads }
}

async function runCheck(plan: Exclude<Plan, LoadPlan>, context: RunContext, signal: AbortSignal): Promise<Fetched> {
  switch (plan.kind) {
    case 'fetch': return await runFetch(plan, context, signal)
    case 'health': return await runHealthProbe(plan, context, signal)
    case 'sleep':
      await context.wait(plan.milliseconds, signal)
      return { ok: true, output: '', error: '' }
  }
}

const linesOf = (output: string): readonly string[] => (output === '' ? [] : output.replace(/\n$/, '').split('\n'))
