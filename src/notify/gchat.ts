import { authorOf } from '#notify/alert.ts'
import { post, type NotifyProvider } from '#notify/provider.ts'

const TITLE = 'Flagger'
const IMAGE_URL = 'https://flagger.app/favicon.png'

const section = (text: string): unknown => ({ widgets: [{ textParagraph: { text } }] })
const strong = (text: string): string => `<font color=#848484><strong>${escapeHtml(text)}</strong></font>`
/** The card reads a little HTML; what comes from others must stay text. */
const escapeHtml = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

/** Google Chat. */
export const gchat: NotifyProvider = {
  type: 'gchat',
  render: (alert, { address }) => post(address, {
    cards: [{
      header: { title: TITLE, subtitle: authorOf(alert), imageUrl: IMAGE_URL },
      sections: [section(strong(alert.message)), ...alert.fields.map(({ name, value }) => section(`${escapeHtml(name)}<br>${strong(value)}`))],
    }],
  }),
}
