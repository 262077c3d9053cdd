import { webAddressFault } from '#policy/web-address.ts'
import type { Rule } from '#policy/rule.ts'

export const hookAddress: Rule = {
  id: 'hook-address',
  default: 'deny',
  why: 'A webhook that cannot be addressed fails when it is called: the rollout is rolled back, or waits for an approval that cannot come.',
  covers: ['10.13', '1.8.18'],
  check({ spec: { analysis } }) {
    return (analysis.webhooks ?? []).flatMap(({ url }, i) => {
      const fault = webAddressFault(url)
      return fault === undefined ? [] : [{ field: `spec.analysis.webhooks[${i}].url`, message: `"${url}" ${fault}`, fix: 'use one like http://flagger-loadtester.test/' }]
    })
  },
}
