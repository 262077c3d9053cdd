import type { RuleContext } from '#policy/rule.ts'

export type ObjectRow = { readonly name: string; readonly kind: 'MetricTemplate' | 'AlertProvider'; readonly spec: object; readonly fields?: readonly string[]; readonly severity?: string; readonly context?: Partial<RuleContext> }

const template = (query: string, provider: object = { type: 'prometheus', address: 'http://prometheus.test:9090' }) => ({ kind: 'MetricTemplate' as const, spec: { provider, query } })
const alerts = (spec: object) => ({ kind: 'AlertProvider' as const, spec: { type: 'slack', ...spec } })
const MAIL = { type: 'email', address: 'smtp://mail.test:587', channel: 'on-call@example.org, team@example.org', username: 'canary@example.org' }
const QUERY = '100 - sum(rate(r_total{workload=~"{{ target }}", code!~"5.."}[{{ interval }}])) / sum(rate(r_total{workload=~"{{ target }}"}[{{ interval }}])) * 100'
const OK = template(QUERY)
const BOUND = { reach: { metricHosts: [{ policy: 'base', names: ['*.signalfx.com'] }], namespaces: [] } }

/** The table of every rule about MetricTemplates and AlertProviders, by id. */
export const OBJECT_CASES: Readonly<Record<string, { readonly valid: readonly ObjectRow[]; readonly invalid: readonly ObjectRow[] }>> = {
  'alert-address': {
    valid: [{ name: 'a Secret', ...alerts({ secretRef: { name: 'hook' } }) }, { name: 'an address', ...alerts({ address: 'https://hooks.test' }) }],
    invalid: [
      { name: 'both', ...alerts({ address: 'https://hooks.test', secretRef: { name: 'hook' } }), fields: ['spec.address'] },
      { name: 'neither', ...alerts({}), fields: ['spec.secretRef'] },
    ],
  },
  'alert-url': {
    valid: [{ name: 'https', ...alerts({ address: 'https://hooks.test', proxy: 'http://proxy.test:3128' }) }, { name: 'a mail server', ...alerts(MAIL) }],
    invalid: [
      { name: 'a host alone', ...alerts({ address: 'hooks.test' }), fields: ['spec.address'] },
      { name: 'mail by http', ...alerts({ ...MAIL, address: 'http://mail.test' }), fields: ['spec.address'] },
      { name: 'a mail server in the agent\'s own pod', ...alerts({ ...MAIL, address: 'smtp://127.0.0.1:25' }), fields: ['spec.address'] },
      { name: 'a proxy without a scheme', ...alerts({ secretRef: { name: 'hook' }, proxy: 'proxy:3128' }), fields: ['spec.proxy'] },
    ],
  },
  'alert-address-in-plain': {
    valid: [{ name: 'a Secret', ...alerts({ secretRef: { name: 'hook' } }) }, { name: 'a host without a token', ...alerts({ address: 'https://hooks.test/' }) }],
    invalid: [
      { name: 'a token in the path', ...alerts({ address: 'https://hooks.test/services/T0/B0/x' }), fields: ['spec.address'] },
      { name: 'a token in the query', ...alerts({ address: 'https://hooks.test/?token=x' }), fields: ['spec.address'] },
      { name: 'the password of a mail server', ...alerts({ ...MAIL, address: 'smtp://bob:pass@mail.test:587' }), fields: ['spec.address'] },
    ],
  },
  'alert-email': {
    valid: [{ name: 'recipients and a sender', ...alerts(MAIL) }, { name: 'a chat', ...alerts({ address: 'https://hooks.test' }) }],
    invalid: [
      { name: 'neither', ...alerts({ type: 'email', secretRef: { name: 'mail' } }), fields: ['spec.channel', 'spec.username'] },
      { name: 'names', ...alerts({ ...MAIL, channel: 'on-call@example.org, general', username: 'flagger' }), fields: ['spec.channel', 'spec.username'] },
      { name: 'a proxy', ...alerts({ ...MAIL, proxy: 'http://proxy.test:3128' }), fields: ['spec.proxy'] },
    ],
  },
  'template-syntax': {
    valid: [
      { name: 'functions and variables', ...template('{{- if eq namespace "a" -}}{{ variables.job | printf "%s" }}{{ else }}{{ target }}{{ end }}') },
      { name: 'a comment and a variable of its own', ...template('{{/* why */}}{{ $t := target }}up{pod="{{ $t }}"}') },
    ],
    invalid: [
      { name: 'nothing', ...template('  '), fields: ['spec.query'] },
      { name: 'an action without an end', ...template('up{pod="{{ target"}'), fields: ['spec.query'] },
      { name: 'an end too few', ...template('{{ if target }}up'), fields: ['spec.query'] },
      { name: 'an end too many', ...template('up{{ end }}'), fields: ['spec.query'] },
      { name: 'an unknown function', ...template('up{job="{{ job }}"}'), fields: ['spec.query'] },
      { name: 'an empty action', ...template('up{{ }}'), fields: ['spec.query'] },
    ],
  },
  'template-promql': {
    valid: [{ name: 'a ratio', ...OK }, { name: 'another language', ...template('avg:x{*}', { type: 'datadog', secretRef: { name: 'd' } }) }],
    invalid: [
      { name: 'a bracket too few', ...template('sum(rate(r_total{workload="{{ target }}"}[{{ interval }}])'), fields: ['spec.query'], severity: 'deny' },
      { name: 'a constant', ...template('1'), fields: ['spec.query'] },
      { name: 'a range', ...template('r_total[{{ interval }}]'), fields: ['spec.query'] },
      { name: 'a counter as it is', ...template('sum(r_total{workload="{{ target }}"})'), fields: ['spec.query'], severity: 'warn' },
    ],
  },
  'template-names-no-target': {
    valid: [{ name: 'the target', ...OK }, { name: 'a variable may name it', ...template('up{job="{{ variables.job }}"}') }],
    invalid: [{ name: 'nobody', ...template('sum(rate(r_total{namespace="{{ namespace }}"}[{{ interval }}]))'), fields: ['spec.query'] }],
  },
  'template-fixed-window': {
    valid: [{ name: 'the interval', ...OK }],
    invalid: [{ name: 'five minutes', ...template('sum(rate(r_total{w="{{ target }}"}[5m]))'), fields: ['spec.query'] }],
  },
  'metric-provider-fields': {
    valid: [
      { name: 'prometheus', ...OK }, { name: 'datadog', ...template('q', { type: 'datadog', secretRef: { name: 'd' } }) },
      { name: 'cloudwatch', ...template('[]', { type: 'cloudwatch', region: 'eu-central-1' }) }, { name: 'keptn', ...template('keptnmetric/a/b', { type: 'keptn' }) },
      { name: 'Google as the agent', ...template('fetch x', { type: 'stackdriver' }) },
      { name: "Splunk by its WebSocket's address", ...template('x', { type: 'splunk', address: 'wss://stream.eu0.signalfx.com', secretRef: { name: 's' } }) },
    ],
    invalid: [
      { name: 'no address', ...template(QUERY, { type: 'prometheus' }), fields: ['spec.provider.address'] },
      { name: 'no region', ...template('[]', { type: 'cloudwatch' }), fields: ['spec.provider.region'] },
      { name: 'no credentials', ...template('q', { type: 'datadog' }), fields: ['spec.provider.secretRef'] },
      { name: 'an address without a scheme', ...template(QUERY, { type: 'prometheus', address: 'prometheus:9090' }), fields: ['spec.provider.address'] },
      { name: 'a WebSocket', ...template(QUERY, { type: 'prometheus', address: 'wss://p.test' }), fields: ['spec.provider.address'] },
      { name: 'two at once', ...template('q', { type: 'dynatrace' }), fields: ['spec.provider.address', 'spec.provider.secretRef'] },
    ],
  },
  'metric-provider-host': {
    valid: [{ name: 'without a bound', ...template('q', { type: 'datadog', secretRef: { name: 'd' } }) }, { name: 'an allowed one', ...template('q', { type: 'splunk', address: 'https://api.eu0.signalfx.com', secretRef: { name: 's' } }), context: BOUND }],
    invalid: [
      { name: "a vendor's own", ...template('q', { type: 'datadog', secretRef: { name: 'd' } }), context: BOUND, fields: ['spec.provider.address'], severity: 'warn' },
      { name: 'a public address', ...template(QUERY, { type: 'prometheus', address: 'http://8.8.8.8:9090' }), context: BOUND, fields: ['spec.provider.address'], severity: 'deny' },
    ],
  },
  'metric-provider-tls': {
    valid: [{ name: 'verified', ...OK }],
    invalid: [{ name: 'not verified', ...template(QUERY, { type: 'prometheus', address: 'https://p.test', insecureSkipVerify: true }), fields: ['spec.provider.insecureSkipVerify'] }],
  },
}
