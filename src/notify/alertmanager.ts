import { bearer, post, type NotifyProvider } from '#notify/provider.ts'

const SEVERITY_LABELS = { info: 'info', warn: 'warning', error: 'critical' } as const
/** Our alerts are moments and nobody resolves them: long enough for every grouping interval, short enough not to nag. */
const ACTIVE_MS = 15 * 60_000

/** Alertmanager's API, version 2. The address is its base URL; the Secret may hold a token, or username and password. */
export const alertmanager: NotifyProvider = {
  type: 'alertmanager',
  render: ({ canary, severity, reason, message, detail, cluster, revision, fields, at }, to) => post(`${to.address.replace(/\/+$/, '')}/api/v2/alerts`, [{
    labels: { alertname: reason, severity: SEVERITY_LABELS[severity], namespace: canary.namespace, canary: canary.name, job: 'canarygate', ...(cluster === undefined ? {} : { cluster }) },
    annotations: {
      summary: `${canary.name}.${canary.namespace}: ${message}`,
      description: [message, ...(detail === undefined ? [] : [detail]), ...fields.map(({ name, value }) => `${name}: ${value}`)].join('\n'),
      ...(revision === '' ? {} : { revision }),
    },
    startsAt: new Date(at).toISOString(),
    endsAt: new Date(at + ACTIVE_MS).toISOString(),
  }], { ...basic(to.secret), ...bearer(to) }),
}

const basic = ({ username, password }: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  (username !== undefined && password !== undefined ? { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` } : {})
