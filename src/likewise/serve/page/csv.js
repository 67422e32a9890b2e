// Tables as files (RFC 4180).

const cell = (value) => {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

export function csv(header, rows) {
  return [header, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

export function download(name, header, rows) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv(header, rows)], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// Rows of the map with all that is known about them.
export function rowsOf(points, rows) {
  const columns = points.columns;
  return [
    ["id", ...columns.map((column) => column.name)],
    Array.from(rows, (row) => [points.id(row), ...columns.map((column) => plain(points, column, row))]),
  ];
}

function plain(points, column, row) {
  if (column.kind === "categories") return points.text(column, row);
  return Number.isFinite(column.values[row]) ? column.values[row] : "";
}
