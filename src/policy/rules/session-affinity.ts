import { isWeighted } from '#policy/analysis.ts'
import { capabilitiesOf, providerOf, providersWith } from '#policy/traffic-provider.ts'
import type { Finding, Rule } from '#policy/rule.ts'

/** A cookie's name is a token (RFC 6265, RFC 9110). */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

export const sessionAffinity: Rule = {
  id: 'session-affinity',
  default: 'deny',
  why: 'With the wrong router, strategy or cookie names users are not kept on one version, and Flagger says so in its log only.',
  covers: ['10.9', '10.8', '1.8.12'],
  check(canary, context) {
    const affinity = canary.spec.analysis.sessionAffinity
    if (!affinity) return []
    const field = 'spec.analysis.sessionAffinity'
    const findings: Finding[] = []
    if (capabilitiesOf(canary, context)?.sessionAffinity === false) {
      const able = providersWith(context, 'sessionAffinity')
      findings.push({ field, message: `provider ${providerOf(canary, context)} cannot keep users on one version`, fix: `remove it, or use one of: ${able}` })
    }
    if (!isWeighted(canary.spec)) {
      findings.push({ field, message: 'works with weights only, and this analysis has iterations', fix: 'use stepWeight instead of iterations, or remove it' })
    }
    for (const name of ['cookieName', 'primaryCookieName'] as const) {
      const cookie = affinity[name]
      if (cookie !== undefined && !TOKEN.test(cookie)) {
        findings.push({ field: `${field}.${name}`, message: `"${cookie}" is no name for a cookie`, fix: 'use letters, digits, - and _' })
      }
    }
    if (affinity.primaryCookieName !== undefined && affinity.primaryCookieName === affinity.cookieName) {
      findings.push({
        field: `${field}.primaryCookieName`,
        message: `"${affinity.cookieName}" is the canary's cookie as well`,
        fix: `use another name, such as ${affinity.cookieName}-primary`,
      })
    }
    if (affinity.maxAge !== undefined && affinity.maxAge < 1) {
      findings.push({ field: `${field}.maxAge`, message: `${affinity.maxAge} s: the cookie is gone before it is sent back`, fix: 'use 86400, or leave it out' })
    }
    return findings
  },
}
