import { attachmentBody } from '#notify/slack.ts'
import { post, type NotifyProvider } from '#notify/provider.ts'

const COLOURS = { good: '#0076D7', bad: '#FF0000' }

/** Rocket.Chat. */
export const rocket: NotifyProvider = {
  type: 'rocket',
  render: (alert, to) => post(to.address, attachmentBody(alert, to, COLOURS)),
}
