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

/** An incoming hook, or with a token `chat.postMessage`. */
export const slack: NotifyProvider = {
  type: 'slack',
  render: (alert, to) => post(to.address, attachmentBody(alert, to, SLACK_COLOURS), bearer(to)),
  // chat.postMessage answers 200 to everything.
  refusal: (body) => {
    const [, ok, reason] = /^\s*\{\s*"ok"\s*:\s*(true|false)(?:\s*,\s*"error"\s*:\s*"([\w-]+)")?/.exec(body) ?? []
    return ok === 'false' ? reason ?? 'not ok' : undefined
  },
}
