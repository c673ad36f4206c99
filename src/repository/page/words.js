// What the page says, in each language that it knows, and how it writes figures and dates.
// A text can have plural forms, by the names that Intl.PluralRules gives them.
"use strict";

const words = (() => {
  const texts = {
    en: {
      backup: "Backup of {name}",
      search: "Find files by name",
      loading: "Reading the list of files…",
      progress: "Reading the list of files… {n} of {all} backups",
      summary: "{files}, {size}, {backups}",
      files: { one: "{n} file", other: "{n} files" },
      backups: { one: "{n} backup", other: "{n} backups" },
      versions: { one: "{n} version", other: "{n} versions" },
      timeline: "Backups over time",
      when: "Which backup",
      earlier: "The backup before",
      later: "The backup after",
      day: "As of",
      changed: { one: "{n} file new or changed", other: "{n} files new or changed" },
      removed: { one: "{n} deleted", other: "{n} deleted" },
      unchanged: "no file changed",
      files_here: "Files",
      found: "What was found",
      new: "new or changed in this backup",
      deleted: "deleted",
      last_version: "last version before it was deleted",
      modified: "modified {time}",
      interrupted: "from a backup that was interrupted",
      also: "or here, if it was replaced since",
      more: "Show {n} more",
      empty: "Nothing here.",
      hits: { one: "{n} name matches", other: "{n} names match" },
      first_hits: "More than {n} names match; these are the first",
      no_hits: "No name matches.",
      in: "in {folder}",
      top: "the top folder",
      show: "Show",
      leads_to: "leads to {target}",
      lacking: { one: "What {n} backup brought cannot be shown: its list is missing.", other: "What {n} backups brought cannot be shown: their lists are missing." },
      no_list: "The list of files is missing; the next backup makes it again. Until then: your files are in mirror, and README.txt says where the older ones are.",
      no_backup: "There is no backup yet that went through to its end.",
      mirrored: "All files as of the last backup, also those of which no older versions are kept:",
      copy: "To get a file back, open it here and save it where you want it.",
    },
    ru: {
      backup: "Резервная копия: {name}",
      search: "Найти файлы по имени",
      loading: "Читаю список файлов…",
      progress: "Читаю список файлов… {n} из {all} копирований",
      summary: "{files}, {size}, {backups}",
      files: { one: "{n} файл", few: "{n} файла", many: "{n} файлов" },
      backups: { one: "{n} копирование", few: "{n} копирования", many: "{n} копирований" },
      versions: { one: "{n} версия", few: "{n} версии", many: "{n} версий" },
      timeline: "Копирования по времени",
      when: "Которое копирование",
      earlier: "Предыдущее копирование",
      later: "Следующее копирование",
      day: "На дату",
      changed: { one: "{n} файл новый или изменён", few: "{n} файла новых или изменённых", many: "{n} файлов новых или изменённых" },
      removed: { one: "{n} удалён", few: "{n} удалено", many: "{n} удалено" },
      unchanged: "файлы не менялись",
      files_here: "Файлы",
      found: "Найденное",
      new: "новый или изменён в этом копировании",
      deleted: "удалён",
      last_version: "последняя версия перед удалением",
      modified: "изменён {time}",
      interrupted: "из прерванного копирования",
      also: "или здесь, если с тех пор заменён",
      more: "Показать ещё {n}",
      empty: "Здесь ничего нет.",
      hits: { one: "Подходит {n} имя", few: "Подходят {n} имени", many: "Подходят {n} имён" },
      first_hits: "Подходит больше {n} имён; вот первые",
      no_hits: "Ни одно имя не подходит.",
      in: "в папке {folder}",
      top: "верхней",
      show: "Показать",
      leads_to: "ведёт к {target}",
      lacking: { one: "Файлы {n} копирования показать нельзя: нет его списка.", few: "Файлы {n} копирований показать нельзя: нет их списков.", many: "Файлы {n} копирований показать нельзя: нет их списков." },
      no_list: "Списка файлов нет; следующее копирование создаст его заново. Пока же файлы лежат в mirror, а где прежние версии, сказано в README.txt.",
      no_backup: "Ещё нет ни одного копирования, которое дошло до конца.",
      mirrored: "Все файлы на момент последнего копирования, и те, у которых прежние версии не хранятся:",
      copy: "Чтобы вернуть файл, откройте его здесь и сохраните, куда нужно.",
    },
  };

  const code = navigator.language.toLowerCase().startsWith("ru") ? "ru" : "en";
  // Dates and figures as in the browser's own variant of the language.
  const locale = navigator.language.toLowerCase().startsWith(code) ? navigator.language : code;
  const plural = new Intl.PluralRules(locale);
  const whole = new Intl.NumberFormat(locale);
  const fraction = new Intl.NumberFormat(locale, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const units = code === "ru" ? ["Б", "кБ", "МБ", "ГБ", "ТБ", "ПБ"] : ["B", "kB", "MB", "GB", "TB", "PB"];
  const moment = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
  // Backups are told by the clock of the computer that made them.
  const there = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });
  const date = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeZone: "UTC" });

  /** The text `key` with `values` in place of their names; `n` chooses the plural form. */
  function say(key, values = {}, n = undefined) {
    let text = texts[code][key];
    if (typeof text === "object") {
      text = text[plural.select(n)] ?? text.other ?? text.many;
    }
    const all = n === undefined ? values : { n: whole.format(n), ...values };
    return text.replace(/\{(\w+)\}/g, (_, name) => String(all[name] ?? ""));
  }

  /** Bytes in decimal units, as file managers show them. */
  function size(bytes) {
    let value = bytes;
    let unit = 0;
    while (value >= 999.5 && unit < units.length - 1) {
      value /= 1000;
      unit += 1;
    }
    const shown = unit > 0 && value < 9.95 ? fraction.format(value) : whole.format(Math.round(value));
    return `${shown}\u00a0${units[unit]}`;
  }

  /** The time on the clock of the computer that made a backup, as a Date whose UTC fields are that clock's. */
  function clock(rfc3339) {
    const time = new Date(`${String(rfc3339).slice(0, 19)}Z`);
    return Number.isNaN(time.getTime()) ? new Date(0) : time;
  }

  /** Seconds since 1970 in the reader's time zone; nothing for times that no calendar has. */
  function time(seconds) {
    const date = new Date(seconds * 1000);
    return Number.isNaN(date.getTime()) ? "" : moment.format(date);
  }

  return {
    code,
    locale,
    say,
    size,
    clock,
    time,
    count: (n) => whole.format(n),
    backup: (rfc3339) => there.format(clock(rfc3339)),
    day: (rfc3339) => date.format(clock(rfc3339)),
  };
})();
