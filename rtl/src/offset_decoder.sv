// From the index of a word, as the exported streams have it, to an offset in the inputs.
//
// The index is (channel * kernel rows + row) * kernel columns + column. Inputs lie in
// memory with their padding, so that the weight meets the input at the offset
// channel * channel_size + row * row_step + column * column_step from its output pixel.
// There is one decoder at the port that streams are loaded by, and none in the PEs.

module offset_decoder #(
    parameter int INDEX_BITS   = 16,
    parameter int ADDRESS_BITS = 14
) (
    input  logic [  INDEX_BITS-1:0] index,
    input  logic [             7:0] kernel_rows,
    input  logic [             7:0] kernel_columns,
    input  logic [ADDRESS_BITS-1:0] channel_size,
    input  logic [ADDRESS_BITS-1:0] row_step,
    input  logic [ADDRESS_BITS-1:0] column_step,
    output logic [ADDRESS_BITS-1:0] offset
);
  logic [INDEX_BITS-1:0] above, row, column, channel;

  assign above   = index / INDEX_BITS'(kernel_columns);
  assign column  = index % INDEX_BITS'(kernel_columns);
  assign channel = above / INDEX_BITS'(kernel_rows);
  assign row     = above % INDEX_BITS'(kernel_rows);
  assign offset = ADDRESS_BITS'(32'(channel) * 32'(channel_size) + 32'(row) * 32'(row_step)
                                + 32'(column) * 32'(column_step));
endmodule
