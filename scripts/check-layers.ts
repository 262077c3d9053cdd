import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** The arrows between folders point down, and pure folders reach neither clock, network nor environment. Prints each fault; exit 1 if any. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  api: [],
  policy: ['api', 'rollout'],
  rollout: ['api', 'judge'],
  workload: ['api'],
  traffic: ['api'],
  judge: ['api'],
  metrics: ['api', 'judge'],
  notify: ['api'],
  hooks: ['api'],
  certs: ['api'],
  kube: ['api'],
  admission: ['api', 'policy', 'rollout'],
  agent: ['api', 'policy', 'rollout', 'workload', 'traffic', 'judge', 'metrics', 'notify', 'hooks', 'certs', 'kube'],
  cli: ['api', 'policy', 'rollout', 'workload', 'traffic', 'judge', 'metrics', 'kube'],
  ui: ['api'],
  loadtest: ['api'],
}
const PURE = ['api', 'policy', 'rollout', 'workload', 'traffic', 'judge']
const IMPURE = /Date\.now\(|new Date\(\)|process\.env|\bfetch\(|Math\.random\(|from 'node:(fs|net|http|https|child_process)/

function filesIn(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    return statSync(path).isDirectory() ? filesIn(path) : path.endsWith('.ts') ? [path] : []
  })
}

const faults: string[] = []
for (const file of filesIn('src')) {
  const folder = file.split('/')[1] ?? ''
  if (folder.endsWith('.ts')) continue // main.ts and the error catalogue may see everything
  const text = readFileSync(file, 'utf8')
  const allowed = ALLOWED[folder]
  if (!allowed) faults.push(`${file}: folder ${folder} is not in the list of scripts/check-layers.ts`)
  for (const [, to] of text.matchAll(/(?:from|import\() ?'#([\w-]+)\//g)) {
    if (to !== folder && !allowed?.includes(to ?? '')) faults.push(`${file}: ${folder} may not import ${to}`)
  }
  if (/from '\.\.?\//.test(text)) faults.push(`${file}: imports go through #folder/file.ts, not relative paths`)
  if (folder !== 'kube' && text.includes("'@kubernetes/client-node")) faults.push(`${file}: only src/kube imports @kubernetes/client-node`)
  if (PURE.includes(folder) && IMPURE.test(text)) faults.push(`${file}: a pure folder reaches the clock, the network or the environment`)
}
for (const fault of faults) console.error(fault)
process.exit(faults.length > 0 ? 1 : 0)
