import { isKnativeTarget } from '#api/defaults.ts'
import { MAX_PORT } from '#policy/bounds.ts'
import type { Rule } from '#policy/rule.ts'

export const servicePort: Rule = {
  id: 'service-port',
  default: 'deny',
  why: 'Without a port none of the three Services can be made, and the target never gets adopted.',
  check(canary) {
    const { service } = canary.spec
    if (isKnativeTarget(canary)) return []
    if (service?.port === undefined) return [{ field: 'spec.service.port', message: 'is missing', fix: 'give the port that the target serves on, such as 80' }]
    // A fraction is the business of `whole-numbers`.
    if (service.port >= 1 && service.port <= MAX_PORT) return []
    return [{ field: 'spec.service.port', message: `${service.port} is no port`, fix: `use 1 to ${MAX_PORT}` }]
  },
}
