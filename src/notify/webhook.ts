import { bearer, post, type NotifyProvider } from '#notify/provider.ts'

/** Any HTTP receiver: the alert as plain JSON, with `Authorization: Bearer` when the Secret has a token. */
export const webhook: NotifyProvider = {
  type: 'webhook',
  render: ({ canary, severity, reason, message, detail, cluster, revision, fields, at }, to) => post(to.address, {
    name: canary.name, namespace: canary.namespace, severity, reason, message, ...(detail === undefined ? {} : { detail }), revision, ...(cluster === undefined ? {} : { cluster }),
    fields: Object.fromEntries(fields.map(({ name, value }) => [name, value])),
    timestamp: new Date(at).toISOString(),
  }, bearer(to)),
}
