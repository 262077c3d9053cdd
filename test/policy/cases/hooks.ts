import { clusterOf, TEAM_ALERTS, type Cases } from '../canaries.ts'

const hooks = (...list: object[]) => ({ webhooks: list.map((hook, i) => ({ name: `hook-${i}`, url: 'http://tester.test/', timeout: '5s', ...hook })) })
const gate = 'http://tester.test/gate/check'
const alerts = (more: object) => ({ alerts: [{ name: 'team', severity: 'error', providerRef: { name: 'team' }, ...more }] })

export const hookCases: Readonly<Record<string, Cases>> = {
  'hook-address': {
    valid: [{ name: 'http', analysis: hooks({}) }, { name: 'https', analysis: hooks({ url: 'https://ci.test/hook?a=b' }) }, { name: 'an address of the cluster', analysis: hooks({ url: 'http://10.96.0.17:8080/' }) }],
    invalid: [
      { name: 'no scheme', analysis: hooks({ url: 'tester.test/' }), fields: ['spec.analysis.webhooks[0].url'] },
      { name: 'another scheme', analysis: hooks({ url: 'ftp://tester.test/' }), fields: ['spec.analysis.webhooks[0].url'] },
      { name: 'no host', analysis: hooks({ url: 'http://' }), fields: ['spec.analysis.webhooks[0].url'] },
      { name: 'a path', analysis: hooks({}, { url: '/gate/check' }), fields: ['spec.analysis.webhooks[1].url'] },
      ...['http://localhost:8080/', 'http://127.1/', 'http://[::1]/', 'http://169.254.169.254/latest/', 'http://[::ffff:169.254.169.254]/', 'http://metadata.google.internal/', 'http://0x7f000001/']
        .map((url) => ({ name: `the agent's own machine, or its cloud's: ${url}`, analysis: hooks({ url }), fields: ['spec.analysis.webhooks[0].url'] })),
    ],
  },
  'hook-timeout': {
    valid: [{ name: 'five seconds', analysis: hooks({}) }, { name: 'none', analysis: hooks({ timeout: undefined }) }],
    invalid: [
      { name: 'what the pattern lets pass', analysis: hooks({ timeout: '5sx' }), fields: ['spec.analysis.webhooks[0].timeout'] },
      { name: 'a number', analysis: hooks({ timeout: '5' }), fields: ['spec.analysis.webhooks[0].timeout'] },
    ],
  },
  'hook-timeouts-exceed-interval': {
    valid: [{ name: 'five seconds a minute', analysis: hooks({}) }, { name: 'an approval may take its time', analysis: hooks({ type: 'confirm-rollout', timeout: '5m' }) }],
    invalid: [
      { name: 'two long ones', analysis: hooks({ timeout: '30s' }, { timeout: '30s' }), fields: ['spec.analysis.webhooks'] },
      { name: 'many attempts', analysis: hooks({ timeout: '20s', retries: 3 }), fields: ['spec.analysis.webhooks'] },
      { name: 'ten seconds by default', analysis: { interval: '10s', ...hooks({ timeout: undefined }) }, fields: ['spec.analysis.webhooks'] },
    ],
  },
  'hook-retries': {
    valid: [{ name: 'three', analysis: hooks({ retries: 3 }) }],
    invalid: [{ name: 'less than none', analysis: hooks({ retries: -1 }), fields: ['spec.analysis.webhooks[0].retries'] }],
  },
  'hook-gates': {
    valid: [{ name: 'one gate for one approval', analysis: hooks({ type: 'confirm-promotion', url: gate }, { type: 'rollback', url: 'http://tester.test/rollback/check' }) }],
    invalid: [
      { name: 'one gate for two approvals', analysis: hooks({ type: 'confirm-rollout', url: gate }, { type: 'confirm-promotion', url: gate }), fields: ['spec.analysis.webhooks[1].url'] },
      { name: 'an open gate rolls back', analysis: hooks({ type: 'rollback', url: gate }), fields: ['spec.analysis.webhooks[0].url'] },
      { name: 'a gate that never opens', analysis: hooks({ type: 'confirm-promotion', url: 'http://tester.test/gate/halt' }), fields: ['spec.analysis.webhooks[0].url'] },
    ],
  },
  'hook-never-called': {
    valid: [{ name: 'an approval of a step', analysis: hooks({ type: 'confirm-traffic-increase', url: gate }) }],
    invalid: [
      { name: 'an approval of a step without steps', analysis: { stepWeight: undefined, maxWeight: undefined, iterations: 5, ...hooks({ type: 'confirm-traffic-increase', url: gate }) }, fields: ['spec.analysis.webhooks[0].type'] },
      { name: 'an approval of a step of a skipped analysis', spec: { skipAnalysis: true }, analysis: hooks({ type: 'confirm-traffic-increase', url: gate }), fields: ['spec.analysis.webhooks[0].type'] },
      { name: 'a check of a skipped analysis', spec: { skipAnalysis: true }, analysis: hooks({}), fields: ['spec.analysis.webhooks[0].type'] },
    ],
  },
  'hook-names': {
    valid: [{ name: 'two names', analysis: hooks({}, {}) }],
    invalid: [{ name: 'one name', analysis: hooks({ name: 'load' }, { name: 'load' }), fields: ['spec.analysis.webhooks[1].name'] }],
  },
  'hook-tls': {
    valid: [{ name: 'verified', analysis: hooks({ url: 'https://ci.test/' }) }],
    invalid: [{ name: 'not verified', analysis: hooks({ url: 'https://ci.test/', disableTLS: true }), fields: ['spec.analysis.webhooks[0].disableTLS'] }],
  },
  'no-alerts': {
    valid: [{ name: 'one alert' }],
    invalid: [{ name: 'none', analysis: { alerts: undefined }, fields: ['spec.analysis.alerts'] }, { name: 'an empty list', analysis: { alerts: [] }, fields: ['spec.analysis.alerts'] }],
  },
  'alert-severity': {
    valid: [{ name: 'error' }],
    invalid: [{ name: 'none', analysis: alerts({ severity: undefined }), fields: ['spec.analysis.alerts[0].severity'] }, { name: 'empty', analysis: alerts({ severity: '' }), fields: ['spec.analysis.alerts[0].severity'] }],
  },
  'alert-provider-exists': {
    valid: [{ name: 'it does', context: { cluster: clusterOf([TEAM_ALERTS]) } }, { name: 'offline nobody knows' }],
    invalid: [
      { name: 'it does not', context: { cluster: clusterOf() }, fields: ['spec.analysis.alerts[0].providerRef'] },
      { name: 'it is elsewhere', analysis: alerts({ providerRef: { name: 'team', namespace: 'platform' } }), context: { cluster: clusterOf([TEAM_ALERTS]) }, fields: ['spec.analysis.alerts[0].providerRef'] },
    ],
  },
}
