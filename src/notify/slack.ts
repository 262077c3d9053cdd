import { authorOf, type Alert } from '#notify/alert.ts'
import { bearer, post, type Destination, type NotifyProvider } from '#notify/provider.ts'

/** Colours of an attachment; a warning has none of its own, as in Flagger. */
export type Colours = { readonly good: string; readonly bad: string }

/** Slack's body, which Discord and Rocket.Chat read too. */
export const attachmentBody = (alert: Alert, { channel, username }: Destination, { good, bad }: Colours): unknown => ({
  channel,
  username,
  icon_url: '',
  icon_emoji: ':rocket:',
  attachments: [{
    color: alert.severity === 'error' ? bad : good,
    author_name: authorOf(alert),
    text: alert.message,
    mrkdwn_in: ['text'],
    fields: alert.fields.map(({ name, value }) => ({ title: name, value, short: false })),
  }],
})

export const SLACK_COLOURS: Colours = { good: 'good', bad: 'danger' }

/** What Slack would take for a mention or a link: words of a pod or a hook must not call a whole channel. */
const escapeSlack = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
const escaped = (alert: Alert): Alert =>
  ({ ...alert, message: escapeSlack(alert.message), fields: alert.fields.map(({ name, value }) => ({ name: escapeSlack(name), value: escapeSlack(value) })) })

/** Errors of `chat.postMessage` that are over in a moment. */
const TRANSIENT: readonly string[] = ['ratelimited', 'rate_limited', 'internal_error', 'fatal_error', 'service_unavailable', 'request_timeout']

/** An incoming hook, or with a token `chat.postMessage`. */
export const slack: NotifyProvider = {
  type: 'slack',
  render: (alert, to) => post(to.address, attachmentBody(escaped(alert), to, SLACK_COLOURS), bearer(to)),
  // chat.postMessage answers 200 to everything; an incoming hook says "ok".
  refusal: (body) => {
    if (!/"ok"\s*:\s*false/.test(body)) return undefined
    const reason = /"error"\s*:\s*"([\w-]+)"/.exec(body)?.[1] ?? 'not ok'
    return { reason, isTransient: TRANSIENT.includes(reason) }
  },
}
