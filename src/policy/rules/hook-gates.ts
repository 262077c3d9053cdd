import type { CanaryWebhook } from '#api/canary.ts'
import type { Finding, Rule } from '#policy/rule.ts'

const isGate = ({ type }: CanaryWebhook): boolean => type?.startsWith('confirm-') ?? false
const pathOf = (url: string): string => (URL.canParse(url) ? new URL(url).pathname.replace(/\/$/, '') : url)

export const hookGates: Rule = {
  id: 'hook-gates',
  default: 'warn',
  why: 'The load tester keeps one gate a canary: opened for the rollout it is open for the promotion too. And a rollback hook that succeeds rolls back.',
  covers: ['10.13'],
  check({ spec: { analysis } }) {
    const hooks = (analysis.webhooks ?? []).map((hook, i) => ({ hook, field: `spec.analysis.webhooks[${i}].url` }))
    const findings: Finding[] = []
    const first = new Map<string, CanaryWebhook>()
    for (const { hook, field } of hooks.filter((one) => isGate(one.hook) && pathOf(one.hook.url).endsWith('/gate/check'))) {
      const sharer = first.get(hook.url)
      if (sharer && sharer.type !== hook.type) {
        findings.push({
          field,
          message: `${hook.name} (${hook.type}) asks the same gate as ${sharer.name} (${sharer.type}): opening one opens both`,
          fix: 'close the gate in between, or approve with the canarygate.dev/promote annotation instead',
        })
      }
      first.set(hook.url, sharer ?? hook)
    }
    for (const { hook, field } of hooks.filter((one) => one.hook.type === 'rollback')) {
      if (!/\/gate\/(check|approve)$/.test(pathOf(hook.url))) continue
      findings.push({
        field,
        message: `${hook.name} rolls back when it succeeds, and this URL succeeds while its gate is open`,
        fix: 'use /rollback/check',
      })
    }
    for (const { hook, field } of hooks.filter((one) => isGate(one.hook) && pathOf(one.hook.url).endsWith('/gate/halt'))) {
      findings.push({ field, message: `${hook.name} never approves: /gate/halt always refuses`, fix: 'use /gate/check' })
    }
    return findings
  },
}
