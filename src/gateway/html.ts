/** HTML that cannot be broken by what is put into it: everything but HTML itself is escaped. */
export interface Html {
  readonly markup: string;
}

type HtmlPart = Html | string | number | readonly (Html | string)[];

/** `` html`<td>${text}</td>` ``. Attribute values stand in double quotes. */
export function html(strings: TemplateStringsArray, ...parts: readonly HtmlPart[]): Html {
  return {
    markup: strings.map((text, index) => text + (index < parts.length ? markupOf(parts[index]!) : '')).join(''),
  };
}

/** An element whose text is no HTML and goes in byte by byte, as its hash in the page's policy was made. */
export function verbatim(element: 'script' | 'style', text: string): Html {
  return { markup: `<${element}>${text}</${element}>` };
}

/** A document that a script of the page reads; no text in it can end its element. */
export function jsonScript(id: string, document: unknown): Html {
  const json = JSON.stringify(document).replaceAll('<', '\\u003c');
  return { markup: `<script type="application/json" id="${id}">${json}</script>` };
}

function markupOf(part: HtmlPart): string {
  if (typeof part === 'number') return String(part);
  if (typeof part === 'string') return part.replaceAll(/[&<>"']/g, (char) => ENTITIES[char]!);
  return 'markup' in part ? part.markup : part.map(markupOf).join('');
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
