ed.intake(element, (sent) => trigger("opened", sent)); // Gradio looks for the event's name here
