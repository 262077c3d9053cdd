import type { Rule } from '#policy/rule.ts'

export const delegation: Rule = {
  id: 'delegation',
  default: 'deny',
  why: 'A delegate VirtualService with hosts or gateways of its own is refused by Istio.',
  covers: ['10.11'],
  check({ spec: { service } }) {
    if (service?.delegation !== true) return []
    return (['hosts', 'gateways'] as const).flatMap((name) => (service[name]?.length ? [{
      field: `spec.service.${name}`, message: 'belongs to the delegating VirtualService, not to a delegate', fix: 'remove it, or delegation',
    }] : []))
  },
}
