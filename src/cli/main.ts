#!/usr/bin/env node
import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { parseArgs } from 'node:util'
import type { Where } from '#cli/cluster.ts'

/** `kubectl-canary`: what the agent would do, told beforehand. Commands are loaded when they are called, so that each starts at once. */

const USAGE = `usage: kubectl-canary <command> [options]

  simulate -f canary.yaml --scenario scenario.yaml [--name NAME] [-o text|json]
                                 run a rollout on a virtual clock: a unit test of its settings
  plan -f canary.yaml [--name NAME] [--rps N] [--errors PERCENT] [-o text|json]
                                 steps, duration, time to a rollback, worst-case exposure, and the smallest
                                 regression that can be told at N requests/s beside a primary that fails PERCENT
  replay --counts FILE [-f canary.yaml] [--name NAME] [-o text|json]
                                 the judge on recorded counts, poll by poll
  replay --vectors FILE [-o text|json]
                                 answers to recordings of several kinds: judge, increase, plan
  lint -f canary.yaml [--cluster] [-o ...]
                                 what admission would refuse; see lint --help
  policy explain deployment/NAME [-n NAMESPACE] [-f FILE|DIR]
                                 what holds for a workload, and which policies say so
  watch CANARY [-n NAMESPACE] [--timeout 1h]
                                 each change of a run until its verdict; exit 1 if it was rolled back
  promote|abort|pause|resume|retry|skip-step|restart CANARY [-n NAMESPACE] --reason TEXT
                                 ask the agent; who asks goes on record
  version
  help

On a cluster: [--kubeconfig FILE] [--context NAME], else what kubectl would use; so is the namespace without -n.

Exit codes: 0 done, 1 findings (lint) or a rollback (watch), 2 anything else: the input, the command line or the cluster cannot be used.
`

const KNOWN = ['simulate', 'plan', 'replay']

type Output = { readonly out: (text: string) => void; readonly err: (text: string) => void }
const stdio: Output = { out: (text) => { process.stdout.write(text) }, err: (text) => { process.stderr.write(text) } }

const COMMAND_OPTIONS = {
  filename: { type: 'string', short: 'f' }, scenario: { type: 'string' }, vectors: { type: 'string' }, counts: { type: 'string' }, rps: { type: 'string' }, errors: { type: 'string' }, name: { type: 'string' },
  namespace: { type: 'string', short: 'n' }, reason: { type: 'string' }, timeout: { type: 'string', default: '1h' },
  kubeconfig: { type: 'string' }, context: { type: 'string' }, output: { type: 'string', short: 'o', default: 'text' }, help: { type: 'boolean', short: 'h' },
} as const

/** Runs one command line; answers the exit code. */
export async function main(argv: readonly string[], io: Output = stdio): Promise<number> {
  const [command = 'help', ...rest] = argv
  if (command === 'lint' || command === 'policy') return await onManifests(command, rest)
  try {
    return await run(command, rest, io)
  } catch (err) {
    const isInput = err instanceof Error && (err.constructor.name === 'InputError' || ('code' in err && String(err.code).startsWith('ERR_PARSE_ARGS')))
    io.err(`kubectl-canary ${command}: ${err instanceof Error ? (isInput ? err.message : err.stack ?? err.message) : String(err)}\n`)
    // 1 is a verdict about a release.
    return 2
  }
}

async function run(command: string, rest: readonly string[], io: Output): Promise<number> {
  if (command === 'help' || command === '--help' || command === '-h') {
    io.out(USAGE)
    return 0
  }
  if (command === 'version' || command === '--version') {
    const { readFileSync } = await import('node:fs')
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { readonly version: string }
    io.out(`${version}\n`)
    return 0
  }
  const { values, positionals } = parseArgs({ args: [...rest], options: COMMAND_OPTIONS, allowPositionals: true })
  if (values.help) {
    io.out(USAGE)
    return 0
  }
  const { InputError } = await import('#cli/input.ts')
  const needed = (option: 'filename' | 'scenario' | 'vectors', flag: string): string => {
    const value = values[option]
    if (value === undefined) throw new InputError(`${flag} is missing\n${USAGE}`)
    return value
  }
  if (values.output !== 'text' && values.output !== 'json') throw new InputError(`-o ${values.output} is unknown; use text or json`)
  const print = <T>(answer: T, inWords: (answer: T) => string): number => {
    io.out(values.output === 'json' ? `${JSON.stringify(answer)}\n` : inWords(answer))
    return 0
  }
  const { COMMANDS } = await import('#api/names.ts')
  const asked = COMMANDS.find((known) => known === command)
  if (asked || command === 'watch') {
    const [name, another] = positionals
    if (!name) throw new InputError(`the Canary's name is missing\n${USAGE}`)
    if (another !== undefined) throw new InputError(`one Canary at a time: ${another} is one too many`)
    const { namespace, kubeconfig, context } = values
    if (asked) {
      io.out(await (await import('#cli/command.ts')).giveCommand({ command: asked, name, namespace, kubeconfig, context, reason: values.reason ?? '' }))
      return 0
    }
    const timeoutMs = (await import('#api/duration.ts')).parseDuration(values.timeout)
    if (!timeoutMs) throw new InputError(`--timeout ${values.timeout} is no duration; write it like 30m`)
    return await (await import('#cli/watch.ts')).watchCanary({ name, namespace, kubeconfig, context, timeoutMs, out: io.out })
  }
  if (positionals.length > 0 && KNOWN.includes(command)) throw new InputError(`${positionals.join(' ')}: what is that? Files are given with an option, such as -f`)
  switch (command) {
    case 'simulate': {
      const { simulateFiles, simulationText } = await import('#cli/simulate.ts')
      return print(simulateFiles(needed('filename', '-f canary.yaml'), needed('scenario', '--scenario scenario.yaml'), values.name), simulationText)
    }
    case 'plan': {
      const { planFile, planText } = await import('#cli/plan.ts')
      const number = (option: 'rps' | 'errors', most: number): number | undefined => {
        const value = values[option]
        if (value === undefined || (Number(value) >= 0 && Number(value) <= most && value.trim() !== '')) return value === undefined ? undefined : Number(value)
        throw new InputError(`--${option} ${value} is no number from 0 to ${most}`)
      }
      const percent = number('errors', 100)
      const assumed = { requestsPerSecond: number('rps', 1e9), primaryRate: percent === undefined ? undefined : percent / 100 }
      return print(planFile(needed('filename', '-f canary.yaml'), values.name, assumed), planText)
    }
    case 'replay': {
      const { replayCountsFile, replayVectorsFile, countsText, vectorFaults, vectorsText } = await import('#cli/replay.ts')
      const { counts, vectors, filename, name } = values
      if (counts !== undefined && vectors !== undefined) throw new InputError('--counts and --vectors are two different things: give one of them')
      if (counts !== undefined) return print(replayCountsFile(counts, filename, name), countsText)
      const path = needed('vectors', '--counts FILE or --vectors FILE')
      const replay = replayVectorsFile(path)
      print(replay, vectorsText)
      const faults = vectorFaults(replay)
      for (const fault of faults) io.err(`kubectl-canary replay: ${path}: ${fault}\n`)
      return faults.length > 0 ? 2 : 0
    }
    default:
      throw new InputError(`unknown command; use one of simulate, plan, replay, lint, policy, watch, ${COMMANDS.join(', ')}, version, help`)
  }
}

async function onManifests(command: 'lint' | 'policy', argv: readonly string[]): Promise<number> {
  const { nodeIo } = await import('#cli/manifests.ts')
  const io = { ...nodeIo, connect: async (where: Where) => (await import('#cli/cluster.ts')).connectReader(where) }
  if (command === 'policy') return await (await import('#cli/policy.ts')).policyCommand(argv, io)
  const [{ lintCommand }, { capabilities }] = await Promise.all([import('#cli/lint.ts'), import('#traffic/registry.ts')])
  return await lintCommand(argv, { ...io, providers: capabilities })
}

/** Where what was compiled is kept, so that the next call starts three times as fast. Not in a place that everybody can write to. */
const compileCache = (): string => `${process.env['XDG_CACHE_HOME'] || `${homedir()}/.cache`}/kubectl-canary`

if (import.meta.main) {
  enableCompileCache(process.env['NODE_COMPILE_CACHE'] ?? compileCache())
  process.exitCode = await main(process.argv.slice(2))
}
